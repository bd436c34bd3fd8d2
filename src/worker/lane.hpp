// One queue within a worker: what was claimed and not begun, and how much more to claim.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "worker/bell.hpp"
#include "worker/claimed.hpp"

namespace millrace::worker {

/// How many tasks to hold beyond the free slots: about 100 ms of work by the mean duration, at most two batches.
[[nodiscard]] int prefetch_for(std::chrono::nanoseconds mean, int concurrency, int batch);

class Lane {
 public:
  Lane(std::string queue, int concurrency, int batch, Bell& claimer)
      : queue_(std::move(queue)), concurrency_(concurrency), batch_(batch), claimer_(claimer) {}

  [[nodiscard]] const std::string& queue() const noexcept { return queue_; }
  [[nodiscard]] int concurrency() const noexcept { return concurrency_; }

  /// How many tasks to claim now; 0 if there is no room.
  [[nodiscard]] int room();
  void push(std::vector<Claimed> tasks);
  /// The next task, or none once the lane is closed. `finished` is how long the caller's last run took, if it had one.
  [[nodiscard]] std::optional<Claimed> take(std::optional<Clock::duration> finished);
  /// What was claimed before `since` and has not begun; it leaves the lane.
  [[nodiscard]] std::vector<Claimed> withdraw(Clock::time_point since = Clock::time_point::max());
  /// A thread that was left behind in a run will not take() again: what it ran counts no more.
  void forget_run();
  /// No more tasks: take() returns none.
  void close();
  /// Whether nothing runs and nothing waits.
  [[nodiscard]] bool idle();
  /// Runs under way.
  [[nodiscard]] int running();

 private:
  int room_locked() const;

  const std::string queue_;
  const int concurrency_;
  const int batch_;
  Bell& claimer_;
  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<Claimed> ready_;
  int running_ = 0;
  int waiting_ = 0;
  bool starved_ = false;  // the claimer found no room and waits to be told
  bool closed_ = false;
  std::chrono::nanoseconds mean_{0};
};

}  // namespace millrace::worker
