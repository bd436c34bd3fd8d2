// millrace task show | list | cancel | retry
#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/duration.hpp"
#include "cli/table.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>

namespace millrace::cli {
namespace {

std::string as_json(std::string_view text) { return nlohmann::json(text).dump(); }
std::string time_json(const std::optional<Time>& time) { return time ? as_json(base::format_time(*time)) : "null"; }

// args and result are embedded as the database printed them: no number is read and written again.
std::string json_of(const TaskRecord& task) {
  std::string errors;
  for (const TaskError& error : task.errors) {
    errors += fmt::format("{}{{\"attempt\": {}, \"at\": {}, \"worker\": {}, \"message\": {}}}", errors.empty() ? "" : ", ", error.attempt,
                          time_json(error.at), as_json(error.worker), as_json(error.message));
  }
  return fmt::format(
      "{{\"id\": {}, \"kind\": {}, \"queue\": {}, \"status\": \"{}\", \"priority\": {}, \"attempt\": {}, \"max_attempts\": {}, \"run_at\": "
      "{},"
      " \"created_at\": {}, \"started_at\": {}, \"finished_at\": {}, \"dead_at\": {}, \"lease\": {}, \"worker\": {}, \"timeout_ms\": {}, "
      "\"backoff\": {},"
      " \"args\": {}, \"result\": {}, \"errors\": [{}]}}",
      task.id.value, as_json(task.kind), as_json(task.queue), to_string(task.status), task.priority.value(), task.attempt,
      task.max_attempts, time_json(task.run_at), time_json(task.created_at), time_json(task.started_at), time_json(task.finished_at),
      time_json(task.dead_at), task.lease ? std::to_string(task.lease->value) : "null", task.worker ? as_json(*task.worker) : "null",
      task.timeout ? std::to_string(task.timeout->count()) : "null", task.backoff.value_or("null"), task.args, task.result.value_or("null"),
      errors);
}

void show(const Globals& globals, const std::string& text) {
  const std::int64_t id = parse_integer("id", text);
  Client client({.database = globals.url(), .schema = globals.schema});
  const auto task = client.get({id});
  if (!task) throw NotFound(fmt::format("there is no task {}; millrace task list shows the latest", id));
  if (globals.json) {
    fmt::print("{}\n", json_of(*task));
    return;
  }
  const auto line = [](const char* name, const std::string& value) {
    if (!value.empty()) fmt::print("{:<13} {}\n", name, printable(value, true));
  };
  const auto time = [](const std::optional<Time>& at) { return at ? base::format_time(*at) : std::string(); };
  line("task", std::to_string(task->id.value));
  line("kind", task->kind);
  line("queue", task->queue);
  line("status", std::string(to_string(task->status)));
  line("priority", std::to_string(task->priority.value()));
  line("attempt", fmt::format("{} of {}", task->attempt, task->max_attempts));
  line("run at", time(task->run_at));
  line("created at", time(task->created_at));
  line("started at", time(task->started_at));
  line("finished at", time(task->finished_at));
  if (task->timeout) line("timeout", fmt::format("{} ms", task->timeout->count()));
  line("retry policy", task->backoff.value_or(""));
  line("worker", task->worker.value_or(""));
  line("args", task->args);
  line("result", task->result.value_or(""));
  for (const TaskError& error : task->errors)
    line("error", fmt::format("attempt {} at {}: {}", error.attempt, base::format_time(error.at), error.message));
}

struct Listing {
  std::optional<std::string> status{}, queue{}, kind{}, before{};
  std::string limit{"50"};
};

void list(const Globals& globals, const Listing& listing) {
  TaskFilter filter{.limit = parse_int("--limit", listing.limit)};
  if (listing.status) filter.status = status_from(*listing.status);
  filter.queue = listing.queue;
  filter.kind = listing.kind;
  if (listing.before) filter.before = TaskId{parse_integer("--before", *listing.before)};
  Client client({.database = globals.url(), .schema = globals.schema});
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
               base::format_time(task.run_at).substr(0, 19),
               task.errors.empty() ? "" : task.errors.back().message.substr(0, task.errors.back().message.find('\n'))});
  }
  table.print();
}

void change(const Globals& globals, const std::vector<std::string>& texts, Status (Client::*how)(TaskId)) {
  // All are read before the first is touched.
  std::vector<std::int64_t> ids;
  ids.reserve(texts.size());
  for (const std::string& text : texts) ids.push_back(parse_integer("id", text));
  Client client({.database = globals.url(), .schema = globals.schema});
  for (const std::int64_t id : ids) {
    const Status status = (client.*how)({id});
    if (globals.json)
      fmt::print("{{\"id\": {}, \"status\": \"{}\"}}\n", id, to_string(status));
    else if (status == Status::running)
      fmt::print("task {} is running; its worker was asked to stop it\n", id);
    else
      fmt::print("task {} is {}\n", id, to_string(status));
  }
}

}  // namespace

void add_task(CLI::App& app, Globals& globals) {
  CLI::App* task = app.add_subcommand("task", "Look at tasks, cancel them, retry them");
  task->require_subcommand(1);
  const auto id = std::make_shared<std::string>();
  CLI::App* one = task->add_subcommand("show", "Everything about one task");
  one->add_option("id", *id, "The task's id")->required()->type_name("INT");
  one->callback([&globals, id] { show(globals, *id); });

  const auto listing = std::make_shared<Listing>();
  CLI::App* many = task->add_subcommand("list", "Tasks, newest first");
  many->add_option("--status", listing->status, "pending, scheduled, retrying, running, completed, failed or cancelled");
  many->add_option("--queue", listing->queue, "Only this queue");
  many->add_option("--kind", listing->kind, "Only this kind");
  many->add_option("--before", listing->before, "Only ids below this one: the next page")->type_name("INT");
  many->add_option("--limit", listing->limit, "At most so many; 1 to 1000")->type_name("INT")->capture_default_str();
  many->callback([&globals, listing] { list(globals, *listing); });

  const auto ids = std::make_shared<std::vector<std::string>>();
  CLI::App* cancel = task->add_subcommand("cancel", "Cancel tasks; a running one is asked to stop");
  cancel->add_option("id", *ids, "The tasks' ids")->required()->type_name("INT");
  cancel->callback([&globals, ids] { change(globals, *ids, &Client::cancel); });
  CLI::App* retry = task->add_subcommand("retry", "Revive failed or cancelled tasks with new attempts");
  retry->add_option("id", *ids, "The tasks' ids")->required()->type_name("INT");
  retry->callback([&globals, ids] { change(globals, *ids, &Client::retry); });
}

}  // namespace millrace::cli
