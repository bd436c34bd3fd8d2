#include "cli/bulk.hpp"

#include "cli/table.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <iostream>
#include <string>
#include <vector>

namespace millrace::cli {
namespace {

struct Words {
  const char* asked;  ///< As the question has it.
  const char* done;
};

Words words_of(Action action) {
  switch (action) {
    case Action::cancel: return {"Cancel", "cancelled"};
    case Action::retry: return {"Retry", "retried"};
    case Action::reprioritise: return {"Reprioritise", "reprioritised"};
    case Action::reschedule: return {"Reschedule", "rescheduled"};
    case Action::run_now: return {"Run now", "made due"};
    case Action::remove: return {"Delete", "deleted"};
  }
  return {"Change", "changed"};
}

std::string tasks(std::int64_t count) { return count == 1 ? "1 task" : fmt::format("{} tasks", count); }

std::vector<std::int64_t> numbers(const std::vector<TaskId>& ids) {
  std::vector<std::int64_t> all;
  all.reserve(ids.size());
  for (const TaskId id : ids) all.push_back(id.value);
  return all;
}

void print_plan(const Globals& globals, const std::vector<PlanRow>& plan) {
  if (globals.json) {
    for (const PlanRow& row : plan) {
      fmt::print("{}\n",
                 nlohmann::ordered_json{
                     {"status", to_string(row.status)}, {"tasks", row.tasks}, {"effect", row.effect}, {"examples", numbers(row.examples)}}
                     .dump());
    }
    return;
  }
  Table table({"STATUS", "TASKS", "WOULD BE", "FOR EXAMPLE"});
  for (const PlanRow& row : plan)
    table.add({std::string(to_string(row.status)), std::to_string(row.tasks), row.effect,
               fmt::format("{}", fmt::join(numbers(row.examples), ", "))});
  if (!plan.empty()) table.print();
}

bool agreed(const BulkCall& call, std::int64_t count) {
  fmt::print(stderr, "{} {}? [y/N] ", words_of(call.action).asked, tasks(count));
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

Changes change(Client& client, const BulkCall& call, const TaskFilter& filter, const OnChanges& on_changes) {
  switch (call.action) {
    case Action::cancel: return client.cancel_tasks(filter, on_changes);
    case Action::retry: return client.retry_tasks(filter, on_changes);
    case Action::reprioritise: return client.reprioritise_tasks(filter, call.priority.value(), on_changes);
    case Action::reschedule: return client.reschedule_tasks(filter, call.run_at.value(), on_changes);
    case Action::run_now: return client.run_tasks_now(filter, on_changes);
    case Action::remove: return client.delete_tasks(filter, on_changes);
  }
  return {};
}

void print_changes(const Globals& globals, const BulkCall& call, const Changes& changes) {
  if (globals.json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"done", changes.done},
                                              {"asked", changes.asked},
                                              {"running", changes.running},
                                              {"held", changes.held},
                                              {"refused", changes.refused}}
                           .dump());
    return;
  }
  fmt::print("{} {}\n", tasks(changes.done), words_of(call.action).done);
  if (changes.asked > 0) fmt::print("{} running: the workers were asked to stop them\n", tasks(changes.asked));
  if (changes.running > 0) fmt::print("{} left alone: they run\n", tasks(changes.running));
  if (changes.held > 0) fmt::print("{} left alone: somebody had them in hand; run this again for them\n", tasks(changes.held));
  if (changes.refused > 0) fmt::print("{} not retried: another live task has their unique key\n", tasks(changes.refused));
}

}  // namespace

void add_bulk_options(CLI::App& command, BulkCall& call) {
  command.add_flag("--plan", call.plan, "Only tell how many tasks fit, and some of them; change nothing");
  command.add_flag("--yes", call.yes, "Do not ask before many tasks are changed; needed where there is no terminal");
}

void check_plan(const BulkCall& call) {
  if (call.plan && call.yes) throw InvalidArgument("--plan", "cannot be given together with --yes: it changes nothing");
}

void check_can_ask(const BulkCall& call) {
  check_plan(call);
  if (!call.plan && !call.yes && ::isatty(STDIN_FILENO) == 0)
    throw InvalidArgument("--yes", "is needed where nobody can be asked; --plan shows what would be changed");
}

void run_bulk(const Globals& globals, const BulkCall& call, const TaskFilter& filter) {
  Client client = globals.client();
  if (call.plan || !call.yes) {
    const auto plan = client.plan(call.action, filter);
    if (call.plan || !globals.json) print_plan(globals, plan);
    std::int64_t count = 0;
    for (const PlanRow& row : plan) count += row.effect == "left alone" ? 0 : row.tasks;
    if (call.plan || count == 0) {
      if (!globals.json) fmt::print("{}\n", plan.empty() ? "no tasks fit" : call.plan ? "nothing was changed" : "nothing to change");
      return;
    }
    std::fflush(stdout);
    if (!agreed(call, count)) {
      fmt::print(stderr, "nothing was changed\n");
      throw Exit{1};
    }
  }
  const bool show = ::isatty(STDERR_FILENO) != 0;
  bool shown = false;
  const Changes changes = change(client, call, filter, [&](const Changes& so_far) {
    if (!show) return;
    fmt::print(stderr, "\r{} so far", tasks(so_far.done));
    shown = true;
  });
  if (shown) fmt::print(stderr, "\r\x1b[K");
  print_changes(globals, call, changes);
}

}  // namespace millrace::cli
