// millrace enqueue KIND [JSON|-]
#include "base/json_text.hpp"
#include "cli/app.hpp"
#include "cli/duration.hpp"
#include "cli/enqueue_options.hpp"
#include "cli/wait.hpp"

#include <millrace/client.hpp>
#include <millrace/json_schema.hpp>

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
  EnqueueWords words{};
  std::optional<std::string> patience{};
  bool lines = false, wait = false;
};

// What the library's definitions do for a C++ program: args that no handler would take are told to whoever is about to enqueue them.
void check_schema(Client& client, const std::string& kind, const std::vector<std::string>& args, bool lines) {
  const auto declared = client.kinds(kind);
  if (declared.empty() || !declared[0].schema) return;
  const JsonSchema schema(*declared[0].schema);
  for (std::size_t i = 0; i < args.size(); ++i) {
    // What is no JSON at all is told by the enqueue.
    if (!base::is_json(args[i])) continue;
    const auto problem = schema.problem(args[i]);
    if (problem)
      throw InvalidArgument("args", fmt::format("{}do not fit the schema of {}: {}; see millrace kind show {}",
                                                lines ? fmt::format("of line {} ", i + 1) : "", kind, *problem, kind));
  }
}

void enqueue_lines(const Globals& globals, const Call& call, const EnqueueOptions& options) {
  std::vector<std::string> all;
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty()) all.push_back(line);
  }
  Client client({.database = globals.url(), .schema = globals.schema});
  check_schema(client, call.kind, all, true);
  const auto ids = client.enqueue_many(call.kind, all, options);
  if (globals.json) {
    for (const TaskId id : ids) fmt::print("{{\"id\": {}, \"created\": true}}\n", id.value);
  } else {
    fmt::print("enqueued {} tasks\n", ids.size());
  }
}

void enqueue(const Globals& globals, Call call, const EnqueueOptions& options) {
  if (call.lines) return enqueue_lines(globals, call, options);
  if (call.args == "-") call.args.assign(std::istreambuf_iterator<char>(std::cin), {});
  Client client({.database = globals.url(), .schema = globals.schema});
  const auto patience = call.patience ? std::optional(parse_duration("--wait-for", *call.patience)) : std::nullopt;
  check_schema(client, call.kind, {call.args}, false);
  const Enqueued task = client.enqueue(call.kind, call.args, options);
  const bool waits = call.wait || patience;
  if (globals.json && waits) return wait_for(globals, client, task.id, patience);
  if (globals.json)
    fmt::print("{{\"id\": {}, \"status\": \"{}\", \"created\": {}{}}}\n", task.id.value, to_string(task.status), task.created,
               task.replaced ? ", \"replaced\": true" : "");
  else
    fmt::print("{} task {} ({})\n",
               task.created    ? "enqueued"
               : task.replaced ? "replaced"
                               : "already enqueued as",
               task.id.value, to_string(task.status));
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
  add_enqueue_options(*command, call->words);
  CLI::Option* wait = command->add_flag("--wait", call->wait, "Wait until it has ended; exit code 0 only if it is completed");
  CLI::Option* patience = command->add_option("--wait-for", call->patience, "The same, but not longer than this")->type_name("DURATION");
  command->add_flag("--lines", call->lines, "Read one JSON object per line from standard input: many tasks, all or none")
      ->excludes(args)
      ->excludes(wait)
      ->excludes(patience);
  command->footer(
      "Example:\n  millrace enqueue send-email '{\"to\": \"ada@example.org\"}' --delay 5m --priority high\n  millrace enqueue refresh "
      "'{\"user\": 7}' --unique=user --debounce 10s");
  command->callback([&globals, call, command] { enqueue(globals, *call, options_of(*command, call->words)); });
}

}  // namespace millrace::cli
