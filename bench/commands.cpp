#include "bench.hpp"

#include "scenarios.hpp"

#include <CLI/CLI.hpp>

#include <memory>

namespace millrace::bench {

void add_commands(CLI::App& parent, std::function<ConnectionString()> database, const bool* json) {
  CLI::App* bench = parent.add_subcommand("bench", "Measure the queue on this database, beside the ceiling it is held to");
  bench->require_subcommand(1);
  bench->footer("Each runs in a schema of its own, which it drops. Example:\n  millrace bench drain --json");
  const auto add = [&](const char* name, const char* what, Options defaults, void (*scenario)(const ConnectionString&, const Options&)) {
    const auto options = std::make_shared<Options>(defaults);
    CLI::App* command = bench->add_subcommand(name, what);
    command->add_option("--tasks", options->tasks, "Tasks per round")->check(CLI::Range(1, 10'000'000))->capture_default_str();
    command->add_option("--rounds", options->rounds, "Rounds, interleaved with the ceiling's; the median counts")->check(CLI::Range(1, 1000))->capture_default_str();
    command->add_option("--args-bytes", options->args_bytes, "Size of the args, about")->check(CLI::Range(50, 1'000'000))->capture_default_str();
    command->callback([options, database, json, scenario] {
      options->json = *json;
      scenario(database(), *options);
    });
  };
  add("drain", "Claim, run and record a backlog of no-op tasks", {.tasks = 200'000}, drain);
  add("pinned", "The same while an old transaction pins the xmin horizon, against its own clean rate", {.tasks = 400'000}, pinned);
  add("backlog", "What a claim costs with a million tasks waiting, against ten thousand", {.tasks = 1'000'000, .rounds = 5}, backlog);
  add("enqueue", "Single commits from eight clients, and 100,000 tasks at once", {.tasks = 16'000}, enqueue);
  add("wake", "From the call that enqueues to the handler's start in an idle worker", {.tasks = 200}, wake);
}

}  // namespace millrace::bench
