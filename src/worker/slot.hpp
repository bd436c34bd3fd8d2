// One executor's place: the run it is in, as other threads see it.
//
// A run that does not obey is abandoned: its settlement is made for it, and its thread, which cannot be ended, is left behind.
// abandon() and overrun() on one side and end() on the other agree under the slot's lock on who settles.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

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
  /// Stops a run whose deadline has passed; tells when to look again: at the deadline, or so long (grace) after it.
  struct Look {
    std::optional<Clock::time_point> again{};
    bool stopped = false;
  };
  [[nodiscard]] Look check_deadline(Clock::time_point now, Clock::duration grace);
  /// Abandons a run that is still under way so long after its deadline.
  [[nodiscard]] std::optional<Claimed> overrun(Clock::time_point now);
  void stop(StopCause cause);

  /// The run's database session has a transaction open, and closes it: which waits for an interruption that is being sent.
  /// Returns whether the run was asked to stop before.
  bool session_opened(int pid);
  /// Returns whether the session was interrupted since it was opened. The server may carry that out at any time later, whatever the
  /// session does then: so it is not to be used again.
  bool session_closed();
  /// Calls `cancel` with the process id of the session, and whether the run was left behind, if it has a transaction open, its
  /// run was asked to stop, and the last time was half a second ago. Returns when to try again, if ever.
  template <class Cancel>
  std::optional<Clock::time_point> interrupt_session(Clock::time_point now, const Cancel& cancel) {
    if (!stopping_ || !session_open_) return {};
    const std::lock_guard lock(session_mutex_);
    if (!stopping_ || !session_open_) return {};
    if (now >= interrupt_at_) {
      interrupt_at_ = now + std::chrono::milliseconds(500);
      interrupted_ = true;
      cancel(session_pid_, left_.load());
    }
    return interrupt_at_;
  }

  /// Calls `end` with the process id of the session that a run which was left behind has open, if it has.
  template <class End>
  void end_left_session(const End& end) {
    const std::lock_guard lock(session_mutex_);
    if (left_ && session_open_) end(session_pid_);
  }

  /// If a run is under way, takes its settlement upon the caller: what the handler says later is dropped.
  [[nodiscard]] std::optional<Claimed> abandon();
  /// Whether a run was abandoned and its thread still is in the handler.
  [[nodiscard]] bool left_behind();
  /// Whether a run here was ever abandoned: then its thread has been replaced.
  [[nodiscard]] bool abandoned() const noexcept { return left_; }

 private:
  std::optional<Claimed> abandon_locked();
  /// Marks the run that is under way, if none did before. The caller asks the source to stop, when it holds no lock.
  [[nodiscard]] std::stop_source stop_locked(StopCause cause);
  template <class Matches>
  void stop_matching(StopCause cause, const Matches& matches);

  std::mutex mutex_;
  std::optional<Claimed> task_;
  std::optional<Clock::time_point> deadline_;
  std::optional<Clock::time_point> overrun_at_;
  std::stop_source source_{std::nostopstate};
  StopCause cause_ = StopCause::none;

  std::atomic<bool> stopping_{false}, session_open_{false}, left_{false};
  std::mutex session_mutex_;  // held while the session is interrupted
  int session_pid_ = 0;
  bool interrupted_ = false;
  Clock::time_point interrupt_at_{};
};

/// The slots of a queue. Any thread may go through them, while one is added.
class Slots {
 public:
  Slot& add() {
    const std::lock_guard lock(mutex_);
    return slots_.emplace_back();
  }
  /// `visit` may take its time, or run a handler's stop callbacks: nobody waits for it.
  template <class Visit>
  void each(const Visit& visit) {
    std::vector<Slot*> all;
    {
      const std::lock_guard lock(mutex_);
      all.reserve(slots_.size());
      for (Slot& slot : slots_) all.push_back(&slot);
    }
    for (Slot* slot : all) visit(*slot);
  }

 private:
  std::mutex mutex_;
  std::deque<Slot> slots_;  // never taken away: a thread that was left behind still uses its own
};

}  // namespace millrace::worker
