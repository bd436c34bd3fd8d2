// One executor's place: the run it is in, as other threads see it.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <stop_token>

#include "worker/claimed.hpp"

namespace millrace::worker {

/// Why a run was asked to stop.
enum class StopCause : std::uint8_t { none, timeout, cancel, lease_lost, shutdown };

class Slot {
 public:
  void begin(const Claimed& task, std::optional<Clock::time_point> deadline);
  /// The run is over. Returns why it was asked to stop, and whether its settlement was already made for it.
  struct End {
    StopCause cause = StopCause::none;
    bool abandoned = false;
  };
  [[nodiscard]] End end();

  /// The run's token, made on first use.
  [[nodiscard]] std::stop_token token();
  void stop_if_task(TaskId task, StopCause cause);
  void stop_if_lease(LeaseId lease, StopCause cause);
  /// Stops a run whose deadline has passed; returns the deadline of one that is still to come.
  [[nodiscard]] std::optional<Clock::time_point> check_deadline(Clock::time_point now);
  void stop(StopCause cause);

  /// The run's database session has a transaction open, and closes it: which waits for an interruption under way, so that
  /// none ever meets what the session does next. Returns whether the run was asked to stop before.
  bool session_opened(int pid);
  void session_closed();
  /// Calls `cancel` with the process id of the session, if it has a transaction open, its run was asked to stop, and the
  /// last time was half a second ago. Returns when to try again, if ever.
  template <class Cancel>
  std::optional<Clock::time_point> interrupt_session(Clock::time_point now, const Cancel& cancel) {
    if (!stopping_ || !session_open_) return {};
    const std::lock_guard lock(session_mutex_);
    if (!stopping_ || !session_open_) return {};
    if (now >= interrupt_at_) {
      interrupt_at_ = now + std::chrono::milliseconds(500);
      cancel(session_pid_);
    }
    return interrupt_at_;
  }

  /// If a run is under way, takes its settlement upon the caller: what the handler says later is dropped.
  [[nodiscard]] std::optional<Claimed> abandon();

 private:
  template <class Matches>
  void stop_matching(StopCause cause, const Matches& matches);

  std::mutex mutex_;
  std::optional<Claimed> task_;
  std::optional<Clock::time_point> deadline_;
  std::stop_source source_{std::nostopstate};
  StopCause cause_ = StopCause::none;
  bool abandoned_ = false;

  std::atomic<bool> stopping_{false}, session_open_{false};
  std::mutex session_mutex_;  // held while the session is interrupted
  int session_pid_ = 0;
  Clock::time_point interrupt_at_{};
};

}  // namespace millrace::worker
