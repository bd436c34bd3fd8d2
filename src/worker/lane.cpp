#include "worker/lane.hpp"

#include <algorithm>

namespace millrace::worker {

int prefetch_for(std::chrono::nanoseconds mean, int concurrency, int batch) {
  if (mean.count() <= 0) return 0;
  const double tasks = 1e8 / static_cast<double>(mean.count()) * concurrency;
  // Less than one task per slot is not worth holding: another worker may be free for it.
  if (tasks < concurrency) return 0;
  return static_cast<int>(std::min(tasks, 2.0 * batch));
}

int Lane::room_locked() const {
  const int prefetch = prefetch_for(mean_, concurrency_, batch_);
  const int held = static_cast<int>(ready_.size());
  const int room = concurrency_ - running_ + prefetch - held;
  // While there is a stock, claim in full batches rather than one by one.
  if (prefetch > 0 && held > prefetch / 2) return 0;
  return std::clamp(room, 0, batch_);
}

int Lane::room() {
  const std::lock_guard lock(mutex_);
  const int room = closed_ ? 0 : room_locked();
  starved_ = room == 0;
  return room;
}

void Lane::push(std::vector<Claimed> tasks) {
  int wake = 0;
  {
    const std::lock_guard lock(mutex_);
    wake = std::min(waiting_, static_cast<int>(tasks.size()));
    for (Claimed& task : tasks) ready_.push_back(std::move(task));
  }
  for (int i = 0; i < wake; ++i) condition_.notify_one();
}

std::optional<Claimed> Lane::take(std::optional<Clock::duration> finished) {
  std::unique_lock lock(mutex_);
  bool tell = false;
  if (finished) {
    --running_;
    const std::chrono::nanoseconds took = *finished;
    mean_ = mean_.count() == 0 ? took : mean_ + (took - mean_) / 10;
  }
  if (starved_ && room_locked() > 0) {
    starved_ = false;
    tell = true;
  }
  if (ready_.empty() && !closed_) {
    // Out of work: whatever the claimer waits for, it may look again.
    if (tell) {
      lock.unlock();
      claimer_.ring();
      tell = false;
      lock.lock();
    }
    ++waiting_;
    condition_.wait(lock, [this] { return !ready_.empty() || closed_; });
    --waiting_;
  }
  std::optional<Claimed> task;
  if (!ready_.empty()) {
    task = std::move(ready_.front());
    ready_.pop_front();
    ++running_;
  }
  lock.unlock();
  if (tell) claimer_.ring();
  return task;
}

std::vector<Claimed> Lane::withdraw(Clock::time_point since) {
  const std::lock_guard lock(mutex_);
  std::vector<Claimed> out;
  for (auto task = ready_.begin(); task != ready_.end();) {
    if (task->since < since) {
      out.push_back(std::move(*task));
      task = ready_.erase(task);
    } else {
      ++task;
    }
  }
  return out;
}

void Lane::forget_run() {
  {
    const std::lock_guard lock(mutex_);
    --running_;
    starved_ = false;
  }
  claimer_.ring();
}

void Lane::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  condition_.notify_all();
}

bool Lane::idle() {
  const std::lock_guard lock(mutex_);
  return running_ == 0 && ready_.empty();
}

int Lane::running() {
  const std::lock_guard lock(mutex_);
  return running_;
}

}  // namespace millrace::worker
