#include "worker/slot.hpp"

#include <utility>

namespace millrace::worker {

void Slot::begin(const Claimed& task, std::optional<Clock::time_point> deadline) {
  const std::lock_guard lock(mutex_);
  task_ = task;
  deadline_ = deadline;
  overrun_at_.reset();
  cause_ = StopCause::none;
  stopping_ = false;
}

Slot::End Slot::end() {
  const std::lock_guard lock(mutex_);
  task_.reset();
  deadline_.reset();
  overrun_at_.reset();
  source_ = std::stop_source(std::nostopstate);
  return {cause_, left_};
}

std::stop_token Slot::token() {
  const std::lock_guard lock(mutex_);
  if (!source_.stop_possible()) {
    source_ = std::stop_source();
    if (cause_ != StopCause::none) source_.request_stop();
  }
  return source_.get_token();
}

std::stop_source Slot::stop_locked(StopCause cause) {
  if (!task_ || cause_ != StopCause::none) return std::stop_source(std::nostopstate);
  cause_ = cause;
  stopping_ = true;
  return source_;
}

template <class Matches>
void Slot::stop_matching(StopCause cause, const Matches& matches) {
  std::stop_source source = [&] {
    const std::lock_guard lock(mutex_);
    if (!task_ || !matches(*task_)) return std::stop_source(std::nostopstate);
    return stop_locked(cause);
  }();
  // Outside the lock: the handler's stop callbacks run in here.
  if (source.stop_possible()) source.request_stop();
}

void Slot::stop_if_task(TaskId task, StopCause cause) {
  stop_matching(cause, [&](const Claimed& running) { return running.id() == task; });
}

void Slot::stop_if_lease(LeaseId lease, StopCause cause) {
  stop_matching(cause, [&](const Claimed& running) { return running.batch->lease == lease; });
}

void Slot::stop(StopCause cause) {
  stop_matching(cause, [](const Claimed&) { return true; });
}

bool Slot::session_opened(int pid) {
  const std::lock_guard lock(session_mutex_);
  session_pid_ = pid;
  interrupt_at_ = {};
  interrupted_ = false;
  session_open_ = true;
  return stopping_;
}

bool Slot::session_closed() {
  const std::lock_guard lock(session_mutex_);
  session_open_ = false;
  return std::exchange(interrupted_, false);
}

Slot::Look Slot::check_deadline(Clock::time_point now, Clock::duration grace) {
  std::stop_source source(std::nostopstate);
  Look look;
  {
    const std::lock_guard lock(mutex_);
    if (!task_) return look;
    look.again = deadline_ ? deadline_ : overrun_at_;
    if (!deadline_ || *deadline_ > now) return look;
    look.stopped = true;
    overrun_at_ = look.again = *deadline_ + grace;
    deadline_.reset();
    // Under this lock: once it is let go, the next run may have begun here.
    source = stop_locked(StopCause::timeout);
  }
  if (source.stop_possible()) source.request_stop();
  return look;
}

std::optional<Claimed> Slot::overrun(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (!overrun_at_ || *overrun_at_ > now) return {};
  return abandon_locked();
}

std::optional<Claimed> Slot::abandon() {
  const std::lock_guard lock(mutex_);
  return abandon_locked();
}

std::optional<Claimed> Slot::abandon_locked() {
  if (!task_ || left_) return {};
  overrun_at_.reset();
  left_ = true;
  return task_;
}

bool Slot::left_behind() {
  const std::lock_guard lock(mutex_);
  return task_ && left_;
}

}  // namespace millrace::worker
