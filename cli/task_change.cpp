// millrace task cancel | retry | reprioritise | reschedule | run-now | delete
#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/bulk.hpp"
#include "cli/duration.hpp"
#include "cli/filter_options.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace millrace::cli {
namespace {

struct ChangeWords {
  std::vector<std::string> ids{};
  FilterWords filter{};
  BulkCall bulk{};
  std::optional<std::string> priority{}, at{}, delay{};
};

void print_changed(const Globals& globals, const BulkCall& call, TaskId id, const std::optional<Status>& status) {
  if (globals.json) {
    const std::string value = call.priority ? fmt::format(", \"priority\": {}", call.priority->value())
                              : call.run_at ? fmt::format(", \"run_at\": \"{}\"", base::format_time(*call.run_at))
                                            : std::string();
    fmt::print("{{\"id\": {}, \"status\": \"{}\"{}}}\n", id.value, status ? to_string(*status) : "deleted", value);
    return;
  }
  if (!status)
    fmt::print("task {} is deleted\n", id.value);
  else if (*status == Status::running)
    fmt::print("task {} is running; its worker was asked to stop it\n", id.value);
  else if (call.action == Action::reprioritise)
    fmt::print("task {} is {} with priority {}\n", id.value, to_string(*status), call.priority.value().value());
  else
    fmt::print("task {} is {}\n", id.value, to_string(*status));
}

// One task; its new status, none if it is gone.
std::optional<Status> change(Client& client, const BulkCall& call, TaskId id) {
  switch (call.action) {
    case Action::cancel: return client.cancel(id);
    case Action::retry: return client.retry(id);
    case Action::reprioritise: return client.reprioritise(id, call.priority.value());
    case Action::reschedule: return client.reschedule(id, call.run_at.value());
    case Action::run_now: return client.run_now(id);
    case Action::remove: break;
  }
  client.delete_task(id);
  return {};
}

// What the action needs besides its tasks.
void read_value(const Globals& globals, ChangeWords& words) {
  if (words.bulk.action == Action::reprioritise) words.bulk.priority = parse_priority(words.priority.value());
  if (words.bulk.action != Action::reschedule) return;
  if (words.at.has_value() == words.delay.has_value()) throw InvalidArgument("--at", "or --delay is needed, one of them");
  if (words.at) {
    words.bulk.run_at = base::parse_time(*words.at);
    if (!words.bulk.run_at)
      throw InvalidArgument("--at", fmt::format("is \"{}\"; allowed are times such as 2026-12-24T18:00:00Z", *words.at));
    return;
  }
  const Milliseconds delay = parse_duration("--delay", *words.delay);
  if (delay > std::chrono::days(36525)) throw InvalidArgument("--delay", fmt::format("is \"{}\"; allowed is at most 36525d", *words.delay));
  words.bulk.run_at = database_now(globals) + delay;
}

void run(const Globals& globals, ChangeWords& words) {
  const bool by_filter = says_anything(words.filter);
  if (words.ids.empty() == !by_filter)
    throw InvalidArgument("id",
                          by_filter ? "cannot be given together with a filter" : "is missing; give ids, or a filter such as --kind NAME");
  // All is read before anybody is asked and before the first is touched.
  check_plan(words.bulk);
  std::vector<TaskId> ids;
  ids.reserve(words.ids.size());
  for (const std::string& text : words.ids) ids.push_back({parse_integer("id", text)});
  read_value(globals, words);
  if (by_filter) {
    const TaskFilter filter = filter_of(globals, words.filter);
    check_can_ask(words.bulk);
    return run_bulk(globals, words.bulk, filter);
  }
  if (words.bulk.plan) return run_bulk(globals, words.bulk, {.ids = ids});
  Client client = globals.client();
  for (const TaskId id : ids) print_changed(globals, words.bulk, id, change(client, words.bulk, id));
}

}  // namespace

void add_task_changes(CLI::App& task, Globals& globals) {
  const auto add = [&](const char* verb, Action action, const char* help) {
    const auto words = std::make_shared<ChangeWords>();
    words->bulk.action = action;
    CLI::App* command = task.add_subcommand(verb, help);
    command->add_option("id", words->ids, "The tasks' ids; or a filter instead")->type_name("INT");
    add_bulk_options(*command, words->bulk);
    add_filter_options(*command, words->filter);
    command->callback([&globals, words] { run(globals, *words); });
    return std::pair(command, words);
  };
  add("cancel", Action::cancel, "Cancel tasks that have not ended; running ones are asked to stop");
  add("retry", Action::retry, "Revive failed or cancelled tasks; by a filter without --status: failed ones");
  const auto priority = add("reprioritise", Action::reprioritise, "Give tasks that wait for their run another priority");
  priority.first->add_option("--priority", priority.second->priority, "0 to 100, or critical, high, normal, low")->required();
  const auto time = add("reschedule", Action::reschedule, "Give tasks that wait for their run another time");
  time.first->add_option("--at", time.second->at, "Not before this time, such as 2026-12-24T18:00:00Z")->type_name("TIME");
  time.first->add_option("--delay", time.second->delay, "Not before so long from now, such as 5m")->type_name("DURATION");
  add("run-now", Action::run_now, "Let tasks that wait for their time, or a retry, run now");
  add("delete", Action::remove, "Delete tasks that do not run, with all that is recorded of them");
}

}  // namespace millrace::cli
