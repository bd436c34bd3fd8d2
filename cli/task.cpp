// millrace task show | list | count | logs | wait; what changes tasks is in task_change.cpp
#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/duration.hpp"
#include "cli/filter_options.hpp"
#include "cli/table.hpp"
#include "cli/task_text.hpp"
#include "cli/wait.hpp"

#include <millrace/client.hpp>
#include <millrace/limits.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <vector>

namespace millrace::cli {
namespace {

void show(const Globals& globals, const std::string& text) {
  const TaskId id{parse_integer("id", text)};
  Client client = globals.client();
  const auto task = client.get(id);
  if (!task) throw NotFound(fmt::format("there is no task {}; millrace task list shows the latest", id.value));
  const auto progress = client.progress(id);
  if (globals.json)
    fmt::print("{}\n", json_of(*task, progress));
  else
    print_task(*task, progress, missing_worker(*task, client.workers()));
}

struct LogCall {
  std::string id{}, after{"0"}, limit{"1000"};
};

void logs(const Globals& globals, const LogCall& call) {
  const TaskId id{parse_integer("id", call.id)};
  const std::int64_t after = parse_integer("--after", call.after);
  const int limit = parse_int("--limit", call.limit, 1, limits::log_lines_kept);
  Client client = globals.client();
  const auto lines = client.logs(id, after, limit);
  if (lines.empty() && !client.get(id)) throw NotFound(fmt::format("there is no task {}; millrace task list shows the latest", id.value));
  for (const LogLine& line : lines) {
    if (globals.json)
      fmt::print(
          "{}\n",
          nlohmann::ordered_json{{"seq", line.seq}, {"attempt", line.attempt}, {"at", base::format_time(line.at)}, {"line", line.text}}
              .dump());
    else
      fmt::print("{}  {}  {}\n", base::format_time(line.at), line.attempt, printable(line.text));
  }
  if (lines.empty() && !globals.json)
    fmt::print("task {} logged nothing{}\n", id.value, after > 0 ? fmt::format(" after line {}", after) : "");
}

struct WaitCall {
  std::string id{};
  std::optional<std::string> patience{};
};

struct Listing {
  FilterWords filter{};
  std::optional<std::string> before{};
  std::string limit{"50"};
};

void list(const Globals& globals, const Listing& listing) {
  const int limit = parse_int("--limit", listing.limit, 1, 1000);
  const auto before = listing.before ? std::optional(TaskId{parse_integer("--before", *listing.before)}) : std::nullopt;
  TaskFilter filter = filter_of(globals, listing.filter);
  filter.limit = limit;
  filter.before = before;
  Client client = globals.client();
  const auto tasks = client.list(filter);
  if (globals.json) {
    for (const TaskRecord& task : tasks) fmt::print("{}\n", json_of(task));
    return;
  }
  if (tasks.empty()) {
    fmt::print("no tasks\n");
    return;
  }
  Table table({"ID", "KIND", "QUEUE", "STATUS", "PRIORITY", "ATTEMPT", "RUN AT", "LAST ERROR"});
  for (const TaskRecord& task : tasks) {
    table.add({std::to_string(task.id.value), task.kind, task.queue, std::string(to_string(task.status)),
               std::to_string(task.priority.value()), fmt::format("{}/{}", task.attempt, task.max_attempts),
               base::format_time(task.run_at).substr(0, 19), last_error(task)});
  }
  table.print();
  print_next_page(client, filter, tasks);
}

void count(const Globals& globals, const FilterWords& words) {
  const TaskFilter filter = filter_of(globals, words);
  print_counts(globals, Client({.database = globals.url(), .schema = globals.schema}).count(filter), "task");
}

}  // namespace

void add_task(CLI::App& app, Globals& globals) {
  CLI::App* task = app.add_subcommand("task", "Look at tasks, wait for them, change them: one, or all that fit a filter");
  task->require_subcommand(1);
  const auto id = std::make_shared<std::string>();
  CLI::App* one = task->add_subcommand("show", "Everything about one task");
  one->add_option("id", *id, "The task's id")->required()->type_name("INT");
  one->callback([&globals, id] { show(globals, *id); });

  const auto listing = std::make_shared<Listing>();
  CLI::App* many = task->add_subcommand("list", "Tasks, newest first");
  add_filter_options(*many, listing->filter);
  many->add_option("--before", listing->before, "Only ids below this one: the next page")->type_name("INT");
  many->add_option("--limit", listing->limit, "At most so many; 1 to 1000")->type_name("INT")->capture_default_str();
  many->callback([&globals, listing] { list(globals, *listing); });

  const auto counted = std::make_shared<FilterWords>();
  CLI::App* number = task->add_subcommand("count", "How many tasks there are, by queue, kind and status");
  add_filter_options(*number, *counted);
  number->callback([&globals, counted] { count(globals, *counted); });

  const auto log_call = std::make_shared<LogCall>();
  CLI::App* log = task->add_subcommand("logs", "What the handlers of a task logged; programs: their standard error");
  log->add_option("id", log_call->id, "The task's id")->required()->type_name("INT");
  log->add_option("--after", log_call->after, "Only what comes after line N of the task")->type_name("INT")->capture_default_str();
  log->add_option("--limit", log_call->limit, "At most so many lines, the oldest; 1 to 1000")->type_name("INT")->capture_default_str();
  log->callback([&globals, log_call] { logs(globals, *log_call); });

  const auto wait_call = std::make_shared<WaitCall>();
  CLI::App* waiting = task->add_subcommand("wait", "Wait until a task has ended; exit code 0 only if it is completed");
  waiting->add_option("id", wait_call->id, "The task's id")->required()->type_name("INT");
  waiting->add_option("--for", wait_call->patience, "Not longer than this; default: until it ends")->type_name("DURATION");
  waiting->callback([&globals, wait_call] {
    const TaskId task_id{parse_integer("id", wait_call->id)};
    const auto patience = wait_call->patience ? std::optional(parse_duration("--for", *wait_call->patience)) : std::nullopt;
    Client client = globals.client();
    wait_for(globals, client, task_id, patience);
  });

  add_task_changes(*task, globals);
}

}  // namespace millrace::cli
