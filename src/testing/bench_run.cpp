#include "testing/bench_run.hpp"

#include "base/text.hpp"
#include "engine/enqueue.hpp"

#include <millrace/error.hpp>
#include <millrace/limits.hpp>
#include <millrace/testing/database.hpp>

#include <fmt/format.h>

namespace millrace::testing {
namespace {

using SteadyClock = std::chrono::steady_clock;

// What stands for the statement that would have been sent, had it been about a real task.
struct NotSent {};

}  // namespace

BenchRun::BenchRun(std::string_view kind, std::string_view args, const PerformOptions& options, Run& run)
    : kind_(kind),
      args_(args),
      options_(options),
      run_(run),
      now_(std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now())),
      outer_(options.stop, [this] { source_.request_stop(); }) {
  if (options.stop_requested) source_.request_stop();
  if (!options.timeout) return;
  deadline_ = SteadyClock::now() + *options.timeout;
  keeper_ = std::jthread([this](const std::stop_token& end) { keep_deadline(end); });
}

BenchRun::~BenchRun() = default;

void BenchRun::keep_deadline(const std::stop_token& end) {
  std::unique_lock lock(mutex_);
  ended_.wait_until(lock, end, *deadline_, [] { return false; });
  if (end.stop_requested()) return;
  lock.unlock();
  timed_out_ = source_.request_stop();
}

pqxx::transaction_base& BenchRun::transaction() {
  if (transaction_) return transaction_->driver();
  if (options_.database == nullptr) {
    throw Error("context.transaction() needs a database: give perform() one in PerformOptions::database");
  }
  link_ = std::make_unique<postgres::Connection>(
      postgres::Dial{.url = options_.database->url(), .application = "millrace testing handler", .schema = options_.database->schema()});
  link_->script("SET idle_in_transaction_session_timeout = 0; RESET timezone; RESET datestyle; RESET client_min_messages");
  transaction_ = std::make_unique<postgres::Transaction>(*link_);
  return transaction_->driver();
}

void BenchRun::progress(std::int64_t done, std::int64_t total, std::string_view note) {
  if (done < 0) throw InvalidArgument("done", fmt::format("is {}; allowed is 0 and more", done));
  if (total < 0) throw InvalidArgument("total", fmt::format("is {}; allowed is 0 (unknown) and more", total));
  const std::lock_guard lock(mutex_);
  run_.progress.push_back({done, total, base::storable(note, limits::progress_note_characters_max)});
}

void BenchRun::log(std::string_view text) {
  const std::lock_guard lock(mutex_);
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) run_.log.push_back(base::storable(line, limits::log_line_characters_max));
  }
}

EnqueueOptions BenchRun::inherit(EnqueueOptions options) const {
  if (!options.correlation) options.correlation = options_.correlation;
  if (!options.traceparent) options.traceparent = options_.traceparent;
  if (options.schema == "millrace" && options_.database != nullptr) options.schema = options_.database->schema();
  return options;
}

Enqueued BenchRun::enqueue(std::string_view kind, std::string_view args, EnqueueOptions options) {
  options = inherit(std::move(options));
  try {
    // Everything that is refused before a statement is sent is refused here too.
    return engine::enqueue([](const std::string&, const postgres::Params&) -> postgres::Result { throw NotSent{}; }, kind, args, options);
  } catch (const NotSent&) {
    const TaskId id{1'000'001 + static_cast<std::int64_t>(run_.sent.size())};
    const bool later = options.delay.value_or(Milliseconds{}) > Milliseconds{0} || options.run_at.value_or(now_) > now_;
    run_.sent.push_back({.id = id, .kind = std::string(kind), .args = std::string(args), .options = std::move(options)});
    return {.id = id, .status = later ? Status::scheduled : Status::pending};
  }
}

void BenchRun::end(bool commit) {
  if (keeper_.joinable()) {
    keeper_.request_stop();
    keeper_.join();
  }
  if (!transaction_) return;
  const auto last = std::move(transaction_);
  if (commit) last->commit();
}

}  // namespace millrace::testing
