// drain: how fast a worker empties a queue of tasks that do nothing, keeping the history. pinned: the same while an old
// transaction holds the xmin horizon, so that nothing dead can be removed.
#include "ceiling.hpp"
#include "scenarios.hpp"

#include <millrace/client.hpp>
#include <millrace/error.hpp>
#include <millrace/worker.hpp>

#include <fmt/format.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <thread>

namespace millrace::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int batch = 500;
constexpr int concurrency = 4;

// Seconds from start() to the last completion recorded.
double worker_drain(const Scratch& scratch, int tasks) {
  WorkerOptions options;
  options.database = scratch.conninfo();
  options.schema = scratch.schema();
  options.queues = {{.name = "default", .concurrency = concurrency}};
  options.batch = batch;
  options.logger = std::make_shared<spdlog::logger>("bench", std::make_shared<spdlog::sinks::null_sink_mt>());
  Worker worker(options);
  worker.handle_raw("noop", [](Context&) { return Outcome<std::string>(std::string()); });
  const auto begin = Clock::now();
  worker.start();
  while (worker.counts().completed < tasks) {
    if (Clock::now() - begin > 300s) throw StateError("the worker did not drain all tasks within 300 s");
    std::this_thread::sleep_for(1ms);
  }
  const std::chrono::duration<double> took = Clock::now() - begin;
  worker.stop();
  return took.count();
}

void check_history(Scratch& scratch, int tasks) {
  const Rows rows = scratch.run("SELECT count(*) FROM @.tasks WHERE status = 'completed'");
  if (rows.text(0, 0) != std::to_string(tasks)) throw StateError(fmt::format("{} of {} tasks are completed", rows.text(0, 0), tasks));
}

struct Counters {
  double updates = 0, hot = 0, wal_bytes = 0, wal_fpi = 0;
};

// When every other session has ended, and with it reported what it did.
Counters counters(Scratch& scratch) {
  scratch.await_quiet();
  scratch.run("SELECT pg_stat_force_next_flush()");
  const Rows rows = scratch.run(
      "SELECT n_tup_upd, n_tup_hot_upd, wal_bytes, wal_fpi FROM pg_stat_user_tables, pg_stat_wal WHERE relid = '@.tasks'::regclass");
  const auto at = [&](int column) { return std::stod(rows.text(0, column)); };
  return {at(0), at(1), at(2), at(3)};
}

// WAL from enqueue to history, with args of 100 bytes. It also warms the server up.
Json wal_of(Scratch& scratch, int tasks) {
  std::vector<std::string> args;
  for (int i = 0; i < tasks; ++i) args.push_back(fmt::format(R"({{"n": {:07}, "text": "{}"}})", 1'000'000 + i, std::string(74, 'x')));
  scratch.clear();
  scratch.run("CHECKPOINT");
  const Counters before = counters(scratch);
  {
    Client client({.database = scratch.conninfo(), .schema = scratch.schema()});
    static_cast<void>(client.enqueue_many("noop", args));
  }
  static_cast<void>(worker_drain(scratch, tasks));
  const Counters after = counters(scratch);
  check_history(scratch, tasks);
  return {{"wal_bytes_per_task", rounded((after.wal_bytes - before.wal_bytes) / tasks, 0)}, {"wal_fpi", after.wal_fpi - before.wal_fpi}};
}

std::vector<double> rates(const std::vector<double>& seconds, int tasks) {
  std::vector<double> out;
  for (const double one : seconds) out.push_back(rounded(tasks / one, 0));
  return out;
}

// A session whose snapshot is old: nothing that dies after it can be removed while it lives.
class Pin {
 public:
  explicit Pin(const Scratch& scratch) : link_(scratch.conninfo()) {
    link_.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    link_.run("SELECT count(*) FROM pg_class");
  }

 private:
  Link link_;
};

}  // namespace

std::vector<Json> drain(const ConnectionString& database, const Options& options) {
  Scratch scratch(database);
  progress(fmt::format("drain: {} tasks, batch {}, {} rounds", options.tasks, batch, options.rounds));
  const Json wal = wal_of(scratch, options.tasks);
  std::vector<double> ours, theirs, hot;
  interleave(
      options.rounds,
      [&](int round) {
        scratch.fill(options.tasks, options.args_bytes);
        scratch.settle();
        const Counters before = counters(scratch);
        ours.push_back(worker_drain(scratch, options.tasks));
        const Counters after = counters(scratch);
        check_history(scratch, options.tasks);
        hot.push_back(rounded((after.hot - before.hot) / (after.updates - before.updates), 3));
        progress(fmt::format("  round {}: millrace {:.0f}/s", round, options.tasks / ours.back()));
      },
      [&](int round) {
        scratch.fill(options.tasks, options.args_bytes);
        scratch.settle();
        theirs.push_back(ceiling_drain(scratch, batch, options.tasks));
        check_history(scratch, options.tasks);
        progress(fmt::format("  round {}: ceiling {:.0f}/s", round, options.tasks / theirs.back()));
      });
  const auto each = ratios(theirs, ours);  // of times, so the other way round
  return {{{"scenario", "drain"},
           {"system", "millrace"},
           {"tasks", options.tasks},
           {"rate_per_s", median(rates(ours, options.tasks))},
           {"ratio", rounded(median(each), 3)},
           {"hot_share", median(hot)},
           {"wal_bytes_per_task", wal.at("wal_bytes_per_task")},
           {"wal_fpi", wal.at("wal_fpi")},
           {"rounds", rates(ours, options.tasks)},
           {"ratios", rounded(each, 3)}},
          {{"scenario", "drain"},
           {"system", "ceiling"},
           {"tasks", options.tasks},
           {"rate_per_s", median(rates(theirs, options.tasks))},
           {"rounds", rates(theirs, options.tasks)}}};
}

std::vector<Json> pinned(const ConnectionString& database, const Options& options) {
  Scratch scratch(database);
  progress(fmt::format("pinned: {} tasks, batch {}, {} rounds", options.tasks, batch, options.rounds));
  std::vector<double> clean, held;
  const auto once = [&](std::vector<double>& into, bool pin, int round) {
    scratch.fill(options.tasks);
    const auto old = pin ? std::make_unique<Pin>(scratch) : nullptr;
    into.push_back(worker_drain(scratch, options.tasks));
    check_history(scratch, options.tasks);
    progress(fmt::format("  round {}: {} {:.0f}/s", round, pin ? "pinned" : "clean ", options.tasks / into.back()));
  };
  interleave(
      options.rounds, [&](int round) { once(held, true, round); }, [&](int round) { once(clean, false, round); });
  const auto each = ratios(clean, held);  // of times, so the other way round
  return {{{"scenario", "pinned"},
           {"system", "millrace"},
           {"tasks", options.tasks},
           {"rate_per_s", median(rates(held, options.tasks))},
           {"ratio", rounded(median(each), 3)},
           {"clean_rate_per_s", median(rates(clean, options.tasks))},
           {"rounds", rates(held, options.tasks)},
           {"clean_rounds", rates(clean, options.tasks)},
           {"ratios", rounded(each, 3)}}};
}

}  // namespace millrace::bench
