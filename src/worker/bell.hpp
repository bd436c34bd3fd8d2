// A bell that one thread waits at and others ring. A ring before the wait is not lost.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "worker/claimed.hpp"

namespace millrace::worker {

class Bell {
 public:
  void ring() {
    {
      const std::lock_guard lock(mutex_);
      rung_ = true;
    }
    condition_.notify_one();
  }
  /// Waits until rung or `until`, and takes the ring. Tells whether it rang.
  bool wait_until(Clock::time_point until) {
    std::unique_lock lock(mutex_);
    condition_.wait_until(lock, until, [this] { return rung_; });
    return std::exchange(rung_, false);
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
};

}  // namespace millrace::worker
