// The thread that records how tasks ended.
#pragma once

#include <memory>
#include <vector>

#include "worker/settle.hpp"
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
  void flush(std::vector<Settlement> batch);
  void settle(std::vector<Settlement>& part);
  /// Tries to record them until that succeeds; returns false where trying again is of no use.
  bool record(const std::vector<Settlement>& part);
  void conclude(const std::vector<Settlement>& part, const Answer& answer);
  postgres::Connection& connection();
  /// What handlers said: every 200 ms, and before the ends of those who said it.
  void attend_reports(const std::vector<Settlement>& batch, bool closed);
  bool drop_done_leases();

  State& state_;
  std::unique_ptr<postgres::Connection> link_;
  int attached_ = 0;              // of state.registrations
  std::vector<Settlement> held_;  // somebody else has their rows: tried again with the next flush
  Clock::time_point next_reports_{};
  Clock::time_point give_up_ = Clock::time_point::max();
};

}  // namespace millrace::worker
