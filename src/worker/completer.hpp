// The thread that records how tasks ended.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "worker/state.hpp"

namespace millrace::worker {

/// Flushes the outbox as soon as the previous flush returns: no added latency when idle, big batches under load. A flush
/// whose answer was lost is repeated: under the same lease that is success. docs/settling.md is its essay.
class Completer {
 public:
  explicit Completer(State& state) : state_(state) {}
  /// Until the outbox is closed and everything in it is recorded (or the database stays away for ten seconds).
  void run();

 private:
  struct Exception {
    std::int64_t id;
    bool held;
  };
  void flush(std::vector<Settlement> batch);
  void settle(std::vector<Settlement>& part);
  std::vector<Exception> send(const std::vector<Settlement>& part, bool careful);
  std::vector<Exception> send_completions(const std::vector<Settlement>& part, bool careful);
  std::vector<Exception> send_failures(const std::vector<Settlement>& part, bool careful);
  std::vector<Exception> send_cancellations(const std::vector<Settlement>& part, bool careful);
  std::vector<Exception> send_releases(const std::vector<Settlement>& part, bool careful);
  void conclude(const std::vector<Settlement>& part, const std::vector<Exception>& exceptions);
  postgres::Connection& connection();
  /// What handlers said: every 200 ms, and before the ends of those who said it.
  void attend_reports(const std::vector<Settlement>& batch, bool closed);
  bool drop_done_leases();

  State& state_;
  std::unique_ptr<postgres::Connection> link_;
  std::vector<Settlement> held_;                          // somebody else has their rows: tried again with the next flush
  std::unordered_map<std::int64_t, std::string> failed_;  // what became of the tasks of the last send of failures
  Clock::time_point next_reports_{};
  Clock::time_point give_up_ = Clock::time_point::max();
};

}  // namespace millrace::worker
