// What a worker has done: totals since its start, and per queue and kind since the last flush to task_stats.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <millrace/worker.hpp>

namespace millrace::worker {

class Tally {
 public:
  struct Line {
    std::int64_t completed = 0;
    std::int64_t retried = 0;
    std::int64_t failed = 0;
    std::int64_t cancelled = 0;
    std::int64_t run_ns = 0;
  };
  using Lines = std::map<std::pair<std::string, std::string>, Line>;

  /// Adds a batch's worth of lines at once.
  void add(const Lines& lines) {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, line] : lines) {
      Line& sum = lines_[key];
      sum.completed += line.completed;
      sum.retried += line.retried;
      sum.failed += line.failed;
      sum.run_ns += line.run_ns;
      totals_.completed += line.completed;
      totals_.retried += line.retried;
      totals_.failed += line.failed;
      totals_.cancelled += line.cancelled;
    }
  }
  void released(std::int64_t tasks) {
    const std::lock_guard lock(mutex_);
    totals_.released += tasks;
  }
  void lost(std::int64_t tasks) {
    const std::lock_guard lock(mutex_);
    totals_.lost += tasks;
  }
  void straggled() {
    const std::lock_guard lock(mutex_);
    ++totals_.stragglers;
  }
  [[nodiscard]] Lines take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(lines_, {});
  }
  [[nodiscard]] WorkerCounts totals() {
    const std::lock_guard lock(mutex_);
    return totals_;
  }

 private:
  std::mutex mutex_;
  Lines lines_;
  WorkerCounts totals_;
};

}  // namespace millrace::worker
