// Settlements on their way from the executors to the completer.
#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "worker/claimed.hpp"

namespace millrace::worker {

class Outbox {
 public:
  void add(Settlement settlement) {
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      waiting_settlements_.push_back(std::move(settlement));
      wake = std::exchange(reader_waits_, false);
    }
    if (wake) condition_.notify_one();
  }
  /// Everything there is, waiting until `until` for a first one. Empty if none came, if nudged, or closed and drained.
  [[nodiscard]] std::vector<Settlement> take(Clock::time_point until) {
    std::unique_lock lock(mutex_);
    reader_waits_ = true;
    condition_.wait_until(lock, until, [this] { return !waiting_settlements_.empty() || closed_ || nudged_; });
    reader_waits_ = false;
    nudged_ = false;
    return std::exchange(waiting_settlements_, {});
  }
  /// Ends a wait in take().
  void nudge() {
    {
      const std::lock_guard lock(mutex_);
      nudged_ = true;
    }
    condition_.notify_one();
  }
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    condition_.notify_one();
  }
  [[nodiscard]] bool closed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  std::vector<Settlement> waiting_settlements_;
  bool reader_waits_ = false;
  bool closed_ = false;
  bool nudged_ = false;
};

}  // namespace millrace::worker
