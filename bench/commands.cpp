#include "bench.hpp"
#include "scenarios.hpp"

#include <CLI/CLI.hpp>

#include <memory>

namespace millrace::bench {
namespace {

using Scenario = std::vector<Json> (*)(const ConnectionString&, const Options&);

struct Entry {
  const char* name;
  const char* help;
  Scenario run;
  int tasks;
  int tasks_min;
  int rounds;
};

constexpr Entry entries[] = {
    {"drain", "Tasks completed per second, against a hand-written libpq loop", &drain, 200'000, 1'000, 5},
    {"enqueue", "Tasks enqueued per second, single and in bulk, against bare SQL", &enqueue, 100'000, 1'000, 5},
    {"wake", "From the call of enqueue to the start of the handler on an idle worker", &wake, 100, 10, 5},
    {"pinned", "drain while an old transaction holds the xmin horizon, against drain without", &pinned, 400'000, 1'000, 5},
    {"backlog", "A claim with very many tasks waiting, against the same with 10,000", &backlog, 1'000'000, 40'000, 5},
    {"wait", "From a handler's return to the return of the client that waits for its task", &wait, 100, 10, 5},
    {"cancel", "From the call of cancel to the stop token of the running handler", &cancel, 100, 10, 5},
    {"ticks", "From a schedule's tick to its task's row, and the search for what is due", &ticks, 100'000, 1, 5},
};

}  // namespace

void add_commands(CLI::App& parent, std::function<ConnectionString()> database) {
  CLI::App* bench = parent.add_subcommand("bench", "Measure this server: each figure beside the ceiling it is held to");
  bench->require_subcommand(1);
  for (const Entry& entry : entries) {
    auto options = std::make_shared<Options>();
    options->tasks = entry.tasks;
    options->rounds = entry.rounds;
    CLI::App* command = bench->add_subcommand(entry.name, entry.help);
    command->add_option("--tasks", options->tasks, entry.run == &ticks ? "Idle schedules besides the 200 that tick" : "Tasks per round")
        ->check(CLI::Range(entry.tasks_min, 10'000'000))
        ->capture_default_str();
    command->add_option("--rounds", options->rounds, "Interleaved rounds")->check(CLI::Range(1, 1'000))->capture_default_str();
    command->add_flag("--json", options->json, "One JSON object per measured system, on a line each");
    if (entry.run == &drain) {
      command->add_option("--args-bytes", options->args_bytes, "Bytes added to each task's args")->check(CLI::Range(0, 1'000'000));
    }
    command->callback([run = entry.run, options, database] { print(run(database(), *options), options->json); });
  }
}

}  // namespace millrace::bench
