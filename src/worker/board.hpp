// What handlers say about their runs, on its way from the executors to the completer.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "worker/claimed.hpp"

namespace millrace::worker {

/// Holds the latest progress of each run and the lines it logged since they were last taken: bounded, whatever handlers do.
class Board {
 public:
  struct Line {
    Clock::time_point at{};
    std::string text{};
  };
  struct Said {
    std::int64_t done = 0;
    std::int64_t total = 0;
    std::string note{};
  };
  /// What one run said.
  struct Report {
    LeaseId lease{};
    int attempt = 0;
    std::optional<Said> said{};
    std::int64_t count = 0;    ///< Lines logged; the oldest of them may have been dropped from `lines`.
    std::deque<Line> lines{};  ///< The latest, oldest first.
  };
  using Reports = std::map<std::int64_t, Report>;  // by task

  void progress(const Claimed& task, std::int64_t done, std::int64_t total, std::string_view note);
  /// Each line of `text`.
  void log(const Claimed& task, std::string_view text);

  [[nodiscard]] bool empty() const noexcept { return empty_; }
  /// Whether somebody waits for what is here to be recorded.
  [[nodiscard]] bool urgent() const noexcept { return urgent_; }
  /// All there is. To be followed by recorded() or put_back().
  [[nodiscard]] Reports take();
  void recorded();
  /// They could not be recorded; what was said since comes after them.
  void put_back(Reports&& reports);
  /// Waits until what this task said is recorded, or until `until`. Calls `nudge` first, if it must wait.
  void await_recorded(TaskId task, Clock::time_point until, const std::function<void()>& nudge);

 private:
  /// The report to add to; none if a later run of the task has one.
  Report* report_of(const Claimed& task);
  void trim(Report& report);

  std::mutex mutex_;
  std::condition_variable condition_;
  Reports reports_;
  std::size_t bytes_ = 0;  // of all lines
  std::uint64_t taken_ = 0, recorded_ = 0;
  std::atomic<bool> empty_{true}, urgent_{false};
};

}  // namespace millrace::worker
