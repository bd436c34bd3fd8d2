// bench drain and bench pinned: how fast a backlog of no-op tasks is claimed, run and recorded, history kept.
#include "scenarios.hpp"

#include "arena.hpp"
#include "ceiling.hpp"
#include "report.hpp"

#include <millrace/worker.hpp>

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>

#include <chrono>
#include <thread>

namespace millrace::bench {
namespace {

using namespace std::chrono_literals;

// Drains `tasks` tasks with a worker as users run it; returns tasks per second.
double drain_with_worker(Arena& arena, int tasks) {
  Worker worker({.database = arena.database(),
                 .schema = arena.schema(),
                 .logger = std::make_shared<spdlog::logger>("bench", std::make_shared<spdlog::sinks::null_sink_mt>())});
  worker.handle_raw("noop", [](Context&) -> Outcome<std::string> { return std::string{}; });
  const auto begin = std::chrono::steady_clock::now();
  worker.start();
  while (worker.counts().completed < tasks) {
    check_interrupted();
    std::this_thread::sleep_for(1ms);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  worker.stop();
  return tasks / took.count();
}

struct Updates {
  std::int64_t all = 0;
  std::int64_t hot = 0;
};

Updates updates(Arena& arena) {
  arena.link().run("SELECT pg_stat_force_next_flush()");
  arena.link().run("SELECT pg_stat_clear_snapshot()");
  const auto rows = arena.link().run(fmt::format("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_all_tables WHERE schemaname = '{}' AND relname = 'tasks'", arena.schema()));
  return {rows.integer(0, 0), rows.integer(0, 1)};
}

// Holds an old snapshot while it lives, so that nothing dead can be removed.
class Pin {
 public:
  explicit Pin(const ConnectionString& database) : link_(dial(database)) {
    execute(link_.get(), "BEGIN ISOLATION LEVEL REPEATABLE READ");
    execute(link_.get(), "SELECT pg_current_snapshot(), count(*) FROM pg_class");
  }

 private:
  Link link_;
};

}  // namespace

void drain(const ConnectionString& database, const Options& options) {
  Arena arena(database);
  std::vector<double> ours, ceiling;
  double hot_share = 0;
  double wal_bytes = 0;
  std::int64_t wal_fpi = 0;
  for (int round = 0; round < options.rounds; ++round) {
    for (int turn = 0; turn < 2; ++turn) {
      const bool mine = (round + turn) % 2 == 0;
      arena.fill(options.tasks, options.args_bytes);
      if (!mine) {
        ceiling.push_back(drain_by_hand(database, arena.schema(), 500));
        progress(fmt::format("round {}: ceiling  {:.0f}/s", round + 1, ceiling.back()));
        continue;
      }
      const Updates before = updates(arena);
      ours.push_back(drain_with_worker(arena, options.tasks));
      progress(fmt::format("round {}: millrace {:.0f}/s", round + 1, ours.back()));
      const Updates after = updates(arena);
      if (after.all > before.all) hot_share = static_cast<double>(after.hot - before.hot) / static_cast<double>(after.all - before.all);
    }
  }
  // WAL from enqueue to history: fresh tables, a checkpoint first, 100 B args through the engine's own enqueue.
  constexpr int wal_tasks = 50'000;
  arena.clear();
  arena.link().script("CHECKPOINT");
  const auto wal = [&] {
    arena.link().run("SELECT pg_stat_clear_snapshot()");
    const auto rows = arena.link().run("SELECT wal_bytes::bigint, wal_fpi FROM pg_stat_wal");
    return std::pair(rows.integer(0, 0), rows.integer(0, 1));
  };
  const std::int64_t lsn_before = arena.number("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint");
  const auto wal_before = wal();
  arena.link().run(fmt::format("SELECT cardinality({}.enqueue_many('noop', array_agg(jsonb_build_object('n', i, 'pad', repeat('x', 78))))) FROM generate_series(1, {}) i", arena.schema(), wal_tasks));
  drain_with_worker(arena, wal_tasks);
  const auto wal_after = wal();
  const std::int64_t lsn_after = arena.number("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint");
  wal_bytes = static_cast<double>(wal_after.first - wal_before.first) / wal_tasks;
  wal_fpi = wal_after.second - wal_before.second;
  const double lsn_bytes = static_cast<double>(lsn_after - lsn_before) / wal_tasks;
  report(options.json, {{"scenario", "drain"}, {"system", "ceiling"}, {"tasks", options.tasks}, {"rate_per_s", median(ceiling)}, {"rounds", ceiling}});
  report(options.json, {{"scenario", "drain"},
                        {"system", "millrace"},
                        {"tasks", options.tasks},
                        {"rate_per_s", median(ours)},
                        {"ratio", median(ours) / median(ceiling)},
                        {"hot_share", hot_share},
                        {"wal_bytes_per_task", wal_bytes},
                        {"wal_lsn_bytes_per_task", lsn_bytes},
                        {"wal_fpi", wal_fpi},
                        {"rounds", ours}});
}

void pinned(const ConnectionString& database, const Options& options) {
  Arena arena(database);
  std::vector<double> clean, held;
  for (int round = 0; round < options.rounds; ++round) {
    for (int turn = 0; turn < 2; ++turn) {
      const bool pin = (round + turn) % 2 == 1;
      arena.fill(options.tasks, options.args_bytes);
      if (pin) {
        const Pin old(database);
        held.push_back(drain_with_worker(arena, options.tasks));
        progress(fmt::format("round {}: pinned {:.0f}/s", round + 1, held.back()));
      } else {
        clean.push_back(drain_with_worker(arena, options.tasks));
        progress(fmt::format("round {}: clean  {:.0f}/s", round + 1, clean.back()));
      }
    }
  }
  report(options.json, {{"scenario", "pinned"}, {"system", "millrace-clean"}, {"tasks", options.tasks}, {"rate_per_s", median(clean)}, {"rounds", clean}});
  report(options.json, {{"scenario", "pinned"},
                        {"system", "millrace"},
                        {"tasks", options.tasks},
                        {"rate_per_s", median(held)},
                        {"ratio", median(held) / median(clean)},
                        {"rounds", held}});
}

}  // namespace millrace::bench
