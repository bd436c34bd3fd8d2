#include "worker/board.hpp"

#include "base/text.hpp"

#include <millrace/limits.hpp>

#include <iterator>
#include <utility>

namespace millrace::worker {
namespace {

// Beyond this, all tasks together, a run keeps only its latest line.
constexpr std::size_t bytes_max = 4'194'304;

}  // namespace

Board::Report* Board::report_of(const Claimed& task) {
  const auto [found, fresh] = reports_.try_emplace(task.id().value);
  Report& report = found->second;
  // A run that was left behind speaks while the next one does.
  if (!fresh && report.lease.value > task.batch->lease.value) return nullptr;
  if (fresh || report.lease.value < task.batch->lease.value) {
    // What an earlier run of it said under a lease that was lost would be refused.
    for (const Line& line : report.lines) bytes_ -= line.text.size();
    report = Report{.lease = task.batch->lease, .attempt = task.attempt()};
  }
  empty_ = false;
  return &report;
}

void Board::trim(Report& report) {
  while (report.lines.size() > limits::log_lines_kept || (bytes_ > bytes_max && report.lines.size() > 1)) {
    bytes_ -= report.lines.front().text.size();
    report.lines.pop_front();
  }
}

void Board::progress(const Claimed& task, std::int64_t done, std::int64_t total, std::string_view note) {
  Said said{done, total, base::storable(note, limits::progress_note_characters_max)};
  const std::lock_guard lock(mutex_);
  if (Report* const report = report_of(task)) report->said = std::move(said);
}

void Board::log(const Claimed& task, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    Line kept{Clock::now(), base::storable(line, limits::log_line_characters_max)};
    const std::lock_guard lock(mutex_);
    Report* const report = report_of(task);
    if (report == nullptr) return;
    bytes_ += kept.text.size();
    report->lines.push_back(std::move(kept));
    ++report->count;
    trim(*report);
  }
}

Board::Reports Board::take() {
  const std::lock_guard lock(mutex_);
  ++taken_;
  bytes_ = 0;
  empty_ = true;
  urgent_ = false;
  return std::exchange(reports_, {});
}

void Board::recorded() {
  {
    const std::lock_guard lock(mutex_);
    recorded_ = taken_;
  }
  condition_.notify_all();
}

void Board::put_back(Reports&& reports) {
  const std::lock_guard lock(mutex_);
  for (auto& [task, older] : reports) {
    const auto [found, fresh] = reports_.try_emplace(task);
    Report& report = found->second;
    if (!fresh && older.lease.value < report.lease.value) continue;
    for (const Line& line : older.lines) bytes_ += line.text.size();
    if (fresh) {
      report = std::move(older);
    } else {
      if (!report.said) report.said = std::move(older.said);
      report.count += older.count;
      report.lines.insert(report.lines.begin(), std::make_move_iterator(older.lines.begin()), std::make_move_iterator(older.lines.end()));
    }
    trim(report);
    empty_ = false;
  }
}

void Board::await_recorded(TaskId task, Clock::time_point until, const std::function<void()>& nudge) {
  std::unique_lock lock(mutex_);
  const std::uint64_t wanted = reports_.contains(task.value) ? taken_ + 1 : taken_;
  if (recorded_ >= wanted) return;
  urgent_ = true;
  lock.unlock();
  nudge();
  lock.lock();
  condition_.wait_until(lock, until, [&] { return recorded_ >= wanted; });
}

}  // namespace millrace::worker
