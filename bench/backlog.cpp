// backlog: what a claim takes with very many tasks waiting, against the same claim with few.
#include "scenarios.hpp"
#include "scratch.hpp"

#include <millrace/error.hpp>

#include <fmt/format.h>

#include <chrono>

namespace millrace::bench {
namespace {

constexpr int few = 10'000;
constexpr int claims = 10;
constexpr const char* batch = "500";

// A queue of its own, and a session that claims from it with the worker's statement.
class Bench {
 public:
  explicit Bench(const ConnectionString& database) : scratch_(database), claimer_(scratch_.conninfo()) {
    claimer_.prepare("claim", scratch_.sql("SELECT id, hint, kind, args, attempt, max_attempts, priority, run_at, timeout_ms"
                                           " FROM @.claim($1, $2, $3, $4::timestamptz[], $5::bigint[], $6, $7, "
                                           "ARRAY[@.kind_hash('noop')])"));
  }

  void fill(int tasks) {
    scratch_.fill(tasks);
    scratch_.settle();
    scratch_.run(std::string("SELECT @.register_worker('") + worker + "', 'bench', 'localhost', 1, '0', '{default}', interval '1 hour')");
    claim();  // plans and caches
  }
  // Milliseconds of one claim.
  double claim() {
    const auto begin = std::chrono::steady_clock::now();
    const Rows rows = claimer_.execute(
        "claim", {worker, "default", batch, "{-infinity,-infinity,-infinity,-infinity,-infinity}", "{0,0,0,0,0}", "f", "f"});
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    if (rows.size() != 501) throw StateError("a claim was not full");
    return took.count();
  }

 private:
  static constexpr const char* worker = "00000000-0000-0000-0000-000000000002";
  Scratch scratch_;
  Link claimer_;
};

}  // namespace

std::vector<Json> backlog(const ConnectionString& database, const Options& options) {
  Bench large(database), small(database);
  progress(
      fmt::format("backlog: {} tasks against {}, batch {}, {} rounds of {} claims", options.tasks, few, batch, options.rounds, claims));
  large.fill(options.tasks);
  std::vector<double> at_large, at_small, all_large, all_small;
  const auto once = [&](Bench& bench, std::vector<double>& medians, std::vector<double>& all, const char* name, int round) {
    std::vector<double> times;
    for (int i = 0; i < claims; ++i) times.push_back(bench.claim());
    medians.push_back(median(times));
    all.insert(all.end(), times.begin(), times.end());
    progress(fmt::format("  round {}: {} {:.2f} ms", round, name, medians.back()));
  };
  interleave(
      options.rounds, [&](int round) { once(large, at_large, all_large, "large", round); },
      [&](int round) {
        small.fill(few);
        once(small, at_small, all_small, "small", round);
      });
  const auto each = ratios(at_large, at_small);
  const auto line = [](const char* system, int tasks, const std::vector<double>& medians, const std::vector<double>& all) {
    return Json{{"scenario", "backlog"},
                {"system", system},
                {"tasks", tasks},
                {"ms_p50", rounded(median(medians), 3)},
                {"ms_p99", rounded(quantile(all, 0.99), 3)},
                {"rounds", rounded(medians, 3)}};
  };
  Json ours = line("millrace", options.tasks, at_large, all_large);
  ours["ratio"] = rounded(median(each), 3);
  ours["ratios"] = rounded(each, 3);
  return {ours, line("millrace-10k", few, at_small, all_small)};
}

}  // namespace millrace::bench
