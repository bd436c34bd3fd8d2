// millrace dead list | show | count | retry | purge | queue
#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/bulk.hpp"
#include "cli/duration.hpp"
#include "cli/filter_options.hpp"
#include "cli/table.hpp"
#include "cli/task_text.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace millrace::cli {
namespace {

TaskFilter dead_filter(const Globals& globals, const FilterWords& words) {
  TaskFilter filter = filter_of(globals, words);
  filter.status = {Status::failed};
  return filter;
}

// The dead letter of that id.
TaskRecord dead_letter(Client& client, TaskId id) {
  auto task = client.get(id);
  if (!task) throw NotFound(fmt::format("there is no task {}; millrace dead list shows the latest dead letters", id.value));
  if (task->status != Status::failed)
    throw StateError(fmt::format("task {} is {}, no dead letter; see: millrace task show {}", id.value, to_string(task->status), id.value));
  return *task;
}

struct Listing {
  FilterWords filter{};
  std::optional<std::string> before{};
  std::string limit{"50"};
};

void list(const Globals& globals, const Listing& listing) {
  const int limit = parse_int("--limit", listing.limit, 1, 1000);
  const auto before = listing.before ? std::optional(TaskId{parse_integer("--before", *listing.before)}) : std::nullopt;
  TaskFilter filter = dead_filter(globals, listing.filter);
  filter.limit = limit;
  filter.before = before;
  Client client = globals.client();
  const auto tasks = client.list(filter);
  Table table({"ID", "KIND", "QUEUE", "DIED AT", "ATTEMPTS", "FORWARDED TO", "LAST ERROR"});
  for (const TaskRecord& task : tasks) {
    if (globals.json) {
      fmt::print("{}\n", json_of(task));
      continue;
    }
    table.add({std::to_string(task.id.value), task.kind, task.queue,
               task.dead_at ? base::format_time(*task.dead_at).substr(0, 19) : std::string(), std::to_string(task.attempt),
               task.forwarded_to ? std::to_string(task.forwarded_to->value) : "-", last_error(task)});
  }
  if (globals.json) return;
  if (tasks.empty()) {
    fmt::print("no dead letters\n");
    return;
  }
  table.print();
  print_next_page(client, filter, tasks);
}

struct ManyCall {
  std::vector<std::string> ids{};
  FilterWords filter{};
  BulkCall bulk{};
  bool all = false;
  std::optional<std::string> older_than{};
};

void retry(const Globals& globals, const ManyCall& call) {
  const bool many = says_anything(call.filter) || call.all;
  if (call.ids.empty() && !many) throw InvalidArgument("id", "is missing; give ids, a filter such as --kind NAME, or --all");
  if (!call.ids.empty() && many) throw InvalidArgument("id", "cannot be given together with a filter or --all");
  check_plan(call.bulk);
  if (many) {
    const TaskFilter filter = dead_filter(globals, call.filter);
    check_can_ask(call.bulk);
    return run_bulk(globals, call.bulk, filter);
  }
  std::vector<TaskId> ids;
  ids.reserve(call.ids.size());
  for (const std::string& text : call.ids) ids.push_back({parse_integer("id", text)});
  if (call.bulk.plan) return run_bulk(globals, call.bulk, {.ids = ids, .status = {Status::failed}});
  Client client = globals.client();
  for (const TaskId id : ids) static_cast<void>(dead_letter(client, id));
  for (const TaskId id : ids) {
    const Status status = client.retry(id);
    if (globals.json)
      fmt::print("{{\"id\": {}, \"status\": \"{}\"}}\n", id.value, to_string(status));
    else
      fmt::print("task {} is {}\n", id.value, to_string(status));
  }
}

void purge(const Globals& globals, const ManyCall& call) {
  if (!call.older_than && !call.all && !call.filter.dead_until)
    throw InvalidArgument("--older-than", "is missing, such as 30d; or give --all");
  if (call.older_than && (call.all || call.filter.dead_until))
    throw InvalidArgument("--older-than", "cannot be given together with --all or --dead-until");
  check_plan(call.bulk);
  TaskFilter filter = dead_filter(globals, call.filter);
  if (call.older_than) filter.dead_until = time_before(globals, "--older-than", *call.older_than);
  check_can_ask(call.bulk);
  run_bulk(globals, call.bulk, filter);
}

void list_queues(const Globals& globals) {
  const auto all = globals.client().dead_queues();
  Table table({"OF THE", "NAMED", "DEAD LETTERS GO TO"});
  for (const DeadQueue& one : all) {
    if (globals.json)
      fmt::print("{}\n",
                 nlohmann::ordered_json{{one.kind ? "kind" : "queue", one.kind ? *one.kind : *one.queue}, {"target", one.target}}.dump());
    else
      table.add({one.kind ? "kind" : "queue", one.kind ? *one.kind : *one.queue, one.target});
  }
  if (globals.json) return;
  if (all.empty())
    fmt::print("no queue has one; millrace dead queue set QUEUE TARGET gives one to it\n");
  else
    table.print();
}

void set_queue(const Globals& globals, const std::string& name, bool kind, const std::optional<std::string>& target) {
  Client client = globals.client();
  kind ? client.set_dead_queue_of_kind(name, target) : client.set_dead_queue(name, target);
  const std::string whose = kind ? "kind " + printable(name) : printable(name);
  if (globals.json)
    fmt::print("{}\n", nlohmann::ordered_json{{kind ? "kind" : "queue", name},
                                              {"target", target ? nlohmann::ordered_json(*target) : nlohmann::ordered_json()}}
                           .dump());
  else if (target)
    fmt::print("dead letters of {} go to {} from now on\n", whose, printable(*target));
  else
    fmt::print("dead letters of {} stay where they are from now on\n", whose);
}

void add_queue(CLI::App& dead, Globals& globals) {
  CLI::App* queue = dead.add_subcommand("queue", "Dead-letter queues: what dies in a queue is put into another as a new task");
  queue->require_subcommand(1);
  queue->add_subcommand("list", "Which queues and kinds have one")->callback([&globals] { list_queues(globals); });
  const auto name = std::make_shared<std::string>();
  const auto target = std::make_shared<std::string>();
  const auto kind = std::make_shared<bool>(false);
  const char* const of_kind = "It is a kind: for its dead letters, whichever queue they are in";
  CLI::App* set = queue->add_subcommand("set", "Give a queue, or a kind, one, for what dies from now on");
  set->add_option("name", *name, "The queue, or with --kind the kind")->required();
  set->add_flag("--kind", *kind, of_kind);
  set->add_option("target", *target, "Where its dead letters go")->required();
  set->callback([&globals, name, kind, target] { set_queue(globals, *name, *kind, *target); });
  CLI::App* unset =
      queue->add_subcommand("unset", "Take the dead-letter queue of a queue, or of a kind, away: what dies stays where it is");
  unset->add_option("name", *name, "The queue, or with --kind the kind")->required();
  unset->add_flag("--kind", *kind, of_kind);
  unset->callback([&globals, name, kind] { set_queue(globals, *name, *kind, {}); });
}

}  // namespace

void add_dead(CLI::App& app, Globals& globals) {
  CLI::App* dead = app.add_subcommand("dead", "Dead letters: tasks that failed for good. Look at them, revive them, purge them");
  dead->require_subcommand(1);

  const auto listing = std::make_shared<Listing>();
  CLI::App* many = dead->add_subcommand("list", "Dead letters, newest task first");
  many->add_option("--before", listing->before, "Only ids below this one: the next page")->type_name("INT");
  many->add_option("--limit", listing->limit, "At most so many; 1 to 1000")->type_name("INT")->capture_default_str();
  add_filter_options(*many, listing->filter, true);
  many->callback([&globals, listing] { list(globals, *listing); });

  const auto id = std::make_shared<std::string>();
  CLI::App* one = dead->add_subcommand("show", "Everything about one dead letter");
  one->add_option("id", *id, "The task's id")->required()->type_name("INT");
  one->callback([&globals, id] {
    const TaskId wanted{parse_integer("id", *id)};
    Client client = globals.client();
    const TaskRecord task = dead_letter(client, wanted);
    if (globals.json)
      fmt::print("{}\n", json_of(task, client.progress(wanted)));
    else
      print_task(task, client.progress(wanted));
  });

  const auto counted = std::make_shared<FilterWords>();
  CLI::App* count = dead->add_subcommand("count", "How many dead letters there are, by queue and kind");
  add_filter_options(*count, *counted, true);
  count->callback([&globals, counted] { print_counts(globals, globals.client().count(dead_filter(globals, *counted)), "dead letter"); });

  const auto revive = std::make_shared<ManyCall>();
  revive->bulk.action = Action::retry;
  CLI::App* again = dead->add_subcommand("retry", "Revive dead letters with new attempts; their errors stay on record");
  again->add_option("id", revive->ids, "The tasks' ids; or a filter, or --all instead")->type_name("INT");
  again->add_flag("--all", revive->all, "All of them, or all that fit the filter");
  add_bulk_options(*again, revive->bulk);
  add_filter_options(*again, revive->filter, true);
  again->callback([&globals, revive] { retry(globals, *revive); });

  const auto gone = std::make_shared<ManyCall>();
  gone->bulk.action = Action::remove;
  CLI::App* away = dead->add_subcommand("purge", "Delete dead letters");
  away->add_option("--older-than", gone->older_than, "Those that died longer ago than this, such as 30d")->type_name("DURATION");
  away->add_flag("--all", gone->all, "All of them, or all that fit the filter");
  add_bulk_options(*away, gone->bulk);
  add_filter_options(*away, gone->filter, true);
  away->callback([&globals, gone] { purge(globals, *gone); });
  add_queue(*dead, globals);
}

}  // namespace millrace::cli
