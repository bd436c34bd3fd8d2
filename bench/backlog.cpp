// bench backlog: what a claim costs with a million tasks waiting, against ten thousand.
#include "scenarios.hpp"

#include "arena.hpp"
#include "report.hpp"

#include <fmt/format.h>

#include <chrono>

namespace millrace::bench {
namespace {

constexpr const char* worker = "00000000-0000-4000-8000-000000000002";

// Milliseconds of one claim of 500, taken from the left edge and undone.
double claim_once(Arena& arena) {
  arena.link().script("BEGIN");
  const auto begin = std::chrono::steady_clock::now();
  arena.link().run(fmt::format("SELECT * FROM {}.claim('{}', 'default', 500, array_fill('-infinity'::timestamptz, '{{5}}'), array_fill(0, '{{5}}'))", arena.schema(), worker));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  arena.link().script("ROLLBACK");
  return took.count();
}

double claim_time(Arena& arena, int tasks, int samples) {
  arena.fill(tasks);
  std::vector<double> times;
  for (int i = 0; i < samples; ++i) times.push_back(claim_once(arena));
  return median(times);
}

}  // namespace

void backlog(const ConnectionString& database, const Options& options) {
  Arena arena(database);
  arena.link().run(fmt::format("SELECT {}.register_worker('{}', 'bench', 'bench', 1, '0', '{{default}}', '1 hour')", arena.schema(), worker));
  constexpr int small = 10'000;
  std::vector<double> many, few;
  // Filling a million rows takes seconds, so each round measures many claims on each.
  for (int round = 0; round < options.rounds; ++round) {
    few.push_back(claim_time(arena, small, 20));
    many.push_back(claim_time(arena, options.tasks, 20));
    progress(fmt::format("round {}: {} waiting {:.2f} ms, {} waiting {:.2f} ms", round + 1, small, few.back(), options.tasks, many.back()));
  }
  report(options.json, {{"scenario", "backlog"}, {"system", "millrace-10k"}, {"tasks", small}, {"ms_p50", median(few)}, {"rounds", few}});
  report(options.json, {{"scenario", "backlog"},
                        {"system", "millrace"},
                        {"tasks", options.tasks},
                        {"ms_p50", median(many)},
                        {"ratio", median(many) / median(few)},
                        {"rounds", many}});
}

}  // namespace millrace::bench
