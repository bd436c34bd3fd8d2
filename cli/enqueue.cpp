// millrace enqueue KIND [JSON|-]
#include "cli/app.hpp"
#include "cli/args_check.hpp"
#include "cli/duration.hpp"
#include "cli/enqueue_options.hpp"
#include "cli/wait.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <charconv>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace millrace::cli {
namespace {

struct Call {
  std::string kind{}, args{"{}"};
  EnqueueWords words{};
  std::optional<std::string> patience{};
  bool lines = false, wait = false;
};

// Says "line 3" where the library, which knows nothing of blank lines, says "args [1]".
[[noreturn]] void rethrow_by_line(const InvalidArgument& error, const std::vector<int>& line_numbers) {
  constexpr std::string_view before = "args [";
  const std::string_view message = error.what();
  std::size_t index = 0;
  if (message.starts_with(before)) {
    const char* const begin = message.data() + before.size();
    const char* const end = message.data() + message.size();
    const auto [stop, problem] = std::from_chars(begin, end, index);
    if (problem == std::errc{} && stop != end && *stop == ']' && index < line_numbers.size())
      throw InvalidArgument(fmt::format("line {}", line_numbers[index]), std::string(stop + 1, end).substr(1));
  }
  throw error;
}

void enqueue_lines(const Globals& globals, const Call& call, const EnqueueOptions& options) {
  std::vector<std::string> all;
  std::vector<int> line_numbers;
  int number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    all.push_back(line);
    line_numbers.push_back(number);
  }
  Client client = globals.client();
  const ArgsCheck check(client, call.kind);
  for (std::size_t i = 0; i < all.size(); ++i) check(all[i], fmt::format("of line {} ", line_numbers[i]));
  std::vector<TaskId> ids;
  try {
    ids = client.enqueue_many(call.kind, all, options);
  } catch (const InvalidArgument& e) {
    rethrow_by_line(e, line_numbers);
  }
  if (globals.json) {
    // All of them wait for the same, if for anything: what one is, all are.
    const auto first = ids.empty() ? std::nullopt : client.get(ids.front());
    const bool later = options.delay.value_or(Milliseconds(0)).count() > 0 || (first && first->status == Status::scheduled);
    const Status status = later ? Status::scheduled : Status::pending;
    for (const TaskId id : ids) fmt::print("{{\"id\": {}, \"status\": \"{}\", \"created\": true}}\n", id.value, to_string(status));
  } else {
    fmt::print("enqueued {}\n", ids.size() == 1 ? "1 task" : fmt::format("{} tasks", ids.size()));
  }
}

void enqueue(const Globals& globals, Call call, const EnqueueOptions& options) {
  if (call.lines) return enqueue_lines(globals, call, options);
  if (call.args == "-") call.args.assign(std::istreambuf_iterator<char>(std::cin), {});
  Client client = globals.client();
  const auto patience = call.patience ? std::optional(parse_duration("--wait-for", *call.patience)) : std::nullopt;
  ArgsCheck(client, call.kind)(call.args);
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
  command->add_option("kind", call->kind, "The kind of the task; decides the handler")->required();
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
