// ticks: from the time of a tick to its task's row seen by another session; and the search for what is due among very
// many schedules. There is no ceiling: what is measured is a delay against the clock.
#include "scenarios.hpp"
#include "scratch.hpp"

#include <millrace/error.hpp>
#include <millrace/worker.hpp>

#include <fmt/format.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <set>
#include <thread>

namespace millrace::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int ticking = 200;
constexpr int workers = 4;
constexpr int searches = 100;
constexpr auto round_length = 3s;

// Schedules that tick in a hundred years, so that the others have to be found among them.
void fill(Scratch& scratch, int idle) {
  scratch.run("SELECT @.put_schedule('idle', '0 0 1 1 *', 'noop')");
  scratch.run(fmt::format(
      "INSERT INTO @.schedules (name, rule, plan, zone, gap, fold, anchor, jitter, misfire, misfire_max, grace, exclusive, kind, args,"
      " queue, priority, max_attempts, next_tick, next_at)"
      " SELECT 'idle' || n, rule, plan, zone, gap, fold, anchor, jitter, misfire, misfire_max, grace, exclusive, kind, args, queue,"
      " priority, max_attempts, next_tick + n * interval '1 second', next_at + n * interval '1 second'"
      " FROM @.schedules, generate_series(2, {}) n",
      idle));
  scratch.settle();
}

// Milliseconds of each search while nothing is due.
std::vector<double> search(Scratch& scratch) {
  std::vector<double> times;
  for (int i = 0; i <= searches; ++i) {
    const auto begin = Clock::now();
    scratch.run("SELECT fired, next_in_ms FROM @.fire_schedules()");
    if (i > 0) times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  }
  return times;
}

// The delays, in milliseconds, of the ticks whose rows come into sight until `end`. Looks every few milliseconds.
std::vector<double> watch(Scratch& scratch, std::set<long>& seen, Clock::time_point end) {
  std::vector<double> delays;
  while (Clock::now() < end) {
    // Transactions do not commit in the order of their ids: look back a little.
    const long from = seen.empty() ? 0 : *seen.rbegin() - 10 * ticking;
    const Rows rows = scratch.run(fmt::format(
        "SELECT id, extract(epoch FROM clock_timestamp() - (args->>'tick')::timestamptz) * 1000 FROM @.tasks WHERE id > {}", from));
    for (int row = 0; row < rows.size(); ++row) {
      if (seen.insert(std::strtol(rows.text(row, 0), nullptr, 10)).second) delays.push_back(std::strtod(rows.text(row, 1), nullptr));
    }
    std::this_thread::sleep_for(3ms);
  }
  return delays;
}

}  // namespace

std::vector<Json> ticks(const ConnectionString& database, const Options& options) {
  Scratch scratch(database);
  progress(fmt::format("ticks: {} schedules of a second among {} others, {} workers, {} rounds of {} s", ticking, options.tasks, workers,
                       options.rounds, round_length.count()));
  fill(scratch, options.tasks);
  const auto searched = search(scratch);
  WorkerOptions worker_options;
  worker_options.database = scratch.conninfo();
  worker_options.schema = scratch.schema();
  worker_options.logger = std::make_shared<spdlog::logger>("bench", std::make_shared<spdlog::sinks::null_sink_mt>());
  std::vector<std::unique_ptr<Worker>> running;
  for (int i = 0; i < workers; ++i) {
    running.push_back(std::make_unique<Worker>(worker_options));
    running.back()->handle_raw("noop", [](Context&) { return Outcome<std::string>(std::string()); });
    running.back()->start();
  }
  scratch.run(
      fmt::format("SELECT count(@.put_schedule('s' || n, '* * * * * *', 'noop', '{{\"tick\": \"{{{{tick}}}}\"}}'))"
                  " FROM generate_series(1, {}) n",
                  ticking));
  std::set<long> seen;
  std::vector<double> all, medians, tails;
  for (int round = 1; round <= options.rounds; ++round) {
    const auto delays = watch(scratch, seen, Clock::now() + round_length);
    if (delays.empty()) throw StateError("no schedule was fired within a round");
    medians.push_back(median(delays));
    tails.push_back(quantile(delays, 0.99));
    all.insert(all.end(), delays.begin(), delays.end());
    progress(
        fmt::format("  round {}: {} ticks, seen after p50 {:.1f} ms, p99 {:.1f} ms", round, delays.size(), medians.back(), tails.back()));
  }
  for (const auto& worker : running) worker->stop();
  return {Json{{"scenario", "ticks"},
               {"system", "millrace"},
               {"schedules", ticking + options.tasks},
               {"ticks", all.size()},
               {"ms_p50", rounded(median(all), 1)},
               {"ms_p99", rounded(quantile(all, 0.99), 1)},
               {"rounds", rounded(medians, 1)},
               {"rounds_p99", rounded(tails, 1)},
               {"search_ms_p50", rounded(median(searched), 3)},
               {"search_ms_p99", rounded(quantile(searched, 0.99), 3)}}};
}

}  // namespace millrace::bench
