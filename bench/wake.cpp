// bench wake: from the call that enqueues to the handler's start in an idle worker, against one statement that inserts and
// notifies, and a thread that listens and claims.
#include "scenarios.hpp"

#include "arena.hpp"
#include "ceiling.hpp"
#include "report.hpp"

#include <millrace/client.hpp>
#include <millrace/worker.hpp>

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace millrace::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Below 100 wakes a second, beyond which a worker prefers to poll.
constexpr auto pace = 15ms;

class Stopwatch {
 public:
  void begin() {
    ended_ = false;
    begin_ = Clock::now();
  }
  void end() {
    end_ = Clock::now();
    ended_ = true;
    ended_.notify_one();
  }
  double wait() {
    ended_.wait(false);
    return std::chrono::duration<double, std::milli>(end_ - begin_).count();
  }

 private:
  Clock::time_point begin_{};
  Clock::time_point end_{};
  std::atomic<bool> ended_{false};
};

std::vector<double> by_us(Arena& arena, int samples) {
  arena.clear();
  Stopwatch watch;
  Worker worker({.database = arena.database(),
                 .schema = arena.schema(),
                 .queues = {{"default", 2}},
                 .logger = std::make_shared<spdlog::logger>("bench", std::make_shared<spdlog::sinks::null_sink_mt>())});
  worker.handle_raw("ping", [&](Context&) -> Outcome<std::string> {
    watch.end();
    return std::string{};
  });
  worker.start();
  Client client({.database = arena.database(), .schema = arena.schema()});
  // Until the worker wants wakes and no older transaction is left, it polls.
  for (bool wanted = false; !wanted;) wanted = arena.number(fmt::format("SELECT count(*) FROM {}.workers WHERE wants_wake", arena.schema())) > 0;
  std::this_thread::sleep_for(300ms);
  std::vector<double> times;
  for (int i = 0; i < samples + 20; ++i) {
    check_interrupted();
    watch.begin();
    client.enqueue("ping", "{}");
    const double took = watch.wait();
    if (i >= 20) times.push_back(took);
    std::this_thread::sleep_for(pace);
  }
  worker.stop();
  return times;
}

std::vector<double> by_hand(Arena& arena, int samples) {
  arena.clear();
  Stopwatch watch;
  std::atomic<bool> over{false};
  const Link listener = dial(arena.database());
  execute(listener.get(), "LISTEN millrace_bench_wake");
  const Rows prepared(PQprepare(listener.get(), "claim", claim_by_hand(arena.schema()).c_str(), 0, nullptr), &PQclear);
  std::thread claimer([&] {
    while (!over) {
      pollfd readable = {PQsocket(listener.get()), POLLIN, 0};
      if (::poll(&readable, 1, 100) <= 0) continue;
      PQconsumeInput(listener.get());
      bool woken = false;
      while (PGnotify* notify = PQnotifies(listener.get())) {
        woken = true;
        PQfreemem(notify);
      }
      if (!woken) continue;
      const char* params[] = {"-infinity", "0", "1"};
      const Rows rows(PQexecPrepared(listener.get(), "claim", 3, params, nullptr, nullptr, 0), &PQclear);
      if (PQntuples(rows.get()) > 0) watch.end();
    }
  });
  const Link client = dial(arena.database());
  const std::string sql = fmt::format(
      "WITH t AS (INSERT INTO {0}.tasks (kind, args) VALUES ('ping', '{{}}') RETURNING queue, priority / 25 AS bucket, run_at, id, ctid),"
      " k AS (INSERT INTO {0}.tickets SELECT * FROM t) SELECT pg_notify('millrace_bench_wake', '')",
      arena.schema());
  const Rows ready(PQprepare(client.get(), "add", sql.c_str(), 0, nullptr), &PQclear);
  std::vector<double> times;
  for (int i = 0; i < samples + 20; ++i) {
    check_interrupted();
    watch.begin();
    const Rows rows(PQexecPrepared(client.get(), "add", 0, nullptr, nullptr, nullptr, 0), &PQclear);
    const double took = watch.wait();
    if (i >= 20) times.push_back(took);
    std::this_thread::sleep_for(pace);
  }
  over = true;
  claimer.join();
  return times;
}

}  // namespace

void wake(const ConnectionString& database, const Options& options) {
  Arena arena(database);
  std::vector<double> ours, ceiling, our_medians, ceiling_medians;
  for (int round = 0; round < options.rounds; ++round) {
    for (int turn = 0; turn < 2; ++turn) {
      const bool mine = (round + turn) % 2 == 0;
      const auto times = mine ? by_us(arena, options.tasks) : by_hand(arena, options.tasks);
      auto& all = mine ? ours : ceiling;
      all.insert(all.end(), times.begin(), times.end());
      (mine ? our_medians : ceiling_medians).push_back(median(times));
    }
    progress(fmt::format("round {}: millrace {:.3f} ms, ceiling {:.3f} ms", round + 1, our_medians.back(), ceiling_medians.back()));
  }
  report(options.json, {{"scenario", "wake"}, {"system", "ceiling"}, {"ms_p50", median(ceiling_medians)}, {"ms_p99", percentile(ceiling, 0.99)}, {"rounds", ceiling_medians}});
  report(options.json, {{"scenario", "wake"},
                        {"system", "millrace"},
                        {"ms_p50", median(our_medians)},
                        {"ms_p99", percentile(ours, 0.99)},
                        {"ratio", median(our_medians) / median(ceiling_medians)},
                        {"rounds", our_medians}});
}

}  // namespace millrace::bench
