// millrace enqueue KIND [JSON|-]
#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/duration.hpp"
#include "cli/wait.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace millrace::cli {
namespace {

struct Call {
  std::string kind{}, args{"{}"};
  // What was given, if only an empty text, is never taken for what was not.
  std::optional<std::string> queue{}, priority{}, delay{}, at{}, max_attempts{}, timeout{}, retry{}, patience{};
  bool lines = false, wait = false;
};

EnqueueOptions options_of(const Call& call) {
  EnqueueOptions options;
  options.queue = call.queue;
  if (call.priority) options.priority = parse_priority(*call.priority);
  if (call.delay) options.delay = parse_duration("--delay", *call.delay);
  if (call.at) {
    options.run_at = base::parse_time(*call.at);
    if (!options.run_at) throw InvalidArgument("--at", fmt::format("is \"{}\"; allowed are times such as 2026-12-24T18:00:00Z", *call.at));
  }
  if (call.timeout) options.timeout = parse_duration("--timeout", *call.timeout);
  if (call.retry) options.backoff = parse_backoff(*call.retry);
  if (call.max_attempts) options.max_attempts = parse_int("--max-attempts", *call.max_attempts);
  return options;
}

void enqueue_lines(const Globals& globals, const Call& call) {
  std::vector<std::string> all;
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty()) all.push_back(line);
  }
  Client client({.database = globals.url(), .schema = globals.schema});
  const auto ids = client.enqueue_many(call.kind, all, options_of(call));
  if (globals.json) {
    for (const TaskId id : ids) fmt::print("{{\"id\": {}, \"created\": true}}\n", id.value);
  } else {
    fmt::print("enqueued {} tasks\n", ids.size());
  }
}

void enqueue(const Globals& globals, Call call) {
  if (call.lines) return enqueue_lines(globals, call);
  if (call.args == "-") call.args.assign(std::istreambuf_iterator<char>(std::cin), {});
  Client client({.database = globals.url(), .schema = globals.schema});
  const auto patience = call.patience ? std::optional(parse_duration("--wait-for", *call.patience)) : std::nullopt;
  const Enqueued task = client.enqueue(call.kind, call.args, options_of(call));
  const bool waits = call.wait || patience;
  if (globals.json && waits) return wait_for(globals, client, task.id, patience);
  if (globals.json)
    fmt::print("{{\"id\": {}, \"status\": \"{}\", \"created\": {}}}\n", task.id.value, to_string(task.status), task.created);
  else
    fmt::print("enqueued task {} ({})\n", task.id.value, to_string(task.status));
  if (!waits) return;
  std::fflush(stdout);
  wait_for(globals, client, task.id, patience);
}

}  // namespace

void add_enqueue(CLI::App& app, Globals& globals) {
  const auto call = std::make_shared<Call>();
  CLI::App* command = app.add_subcommand("enqueue", "Add a task");
  command->add_option("kind", call->kind, "The type of the task; decides the handler")->required();
  CLI::Option* args = command->add_option("args", call->args, "A JSON object; - reads it from standard input")->capture_default_str();
  command->add_option("--queue", call->queue, "Its lane; default: default");
  command->add_option("--priority", call->priority, "0 to 100, or critical, high, normal, low; default: normal");
  command->add_option("--delay", call->delay, "Not before so long from now, such as 5m")->type_name("DURATION");
  command->add_option("--at", call->at, "Not before this time, such as 2026-12-24T18:00:00Z")->type_name("TIME");
  command->add_option("--max-attempts", call->max_attempts, "Runs before it becomes a dead letter; 1 to 1000, default 5")->type_name("INT");
  command->add_option("--timeout", call->timeout, "Longest run of one attempt, such as 30s")->type_name("DURATION");
  command->add_option("--retry", call->retry, "exponential(1s,60s), linear(1s,60s) or fixed(5s)")->type_name("POLICY");
  CLI::Option* wait = command->add_flag("--wait", call->wait, "Wait until it has ended; exit code 0 only if it is completed");
  CLI::Option* patience = command->add_option("--wait-for", call->patience, "The same, but not longer than this")->type_name("DURATION");
  command->add_flag("--lines", call->lines, "Read one JSON object per line from standard input: many tasks, all or none")
      ->excludes(args)
      ->excludes(wait)
      ->excludes(patience);
  command->footer("Example:\n  millrace enqueue send-email '{\"to\": \"ada@example.org\"}' --delay 5m --priority high");
  command->callback([&globals, call] { enqueue(globals, *call); });
}

}  // namespace millrace::cli
