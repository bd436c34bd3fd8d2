// millrace stats, millrace doctor
#include "base/text.hpp"
#include "cli/app.hpp"
#include "cli/table.hpp"
#include "postgres/connection.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <memory>

namespace millrace::cli {
namespace {

void stats(const Globals& globals) {
  const auto queues = Client({.database = globals.url(), .schema = globals.schema}).stats();
  Table table({"QUEUE", "READY", "UPCOMING", "RUNNING", "FAILED", "OLDEST READY", "DONE/H", "RETRIED/H", "FAILED/H", "WORKERS"});
  for (const QueueStats& one : queues) {
    if (globals.json) {
      fmt::print(
          "{{\"queue\": {}, \"ready\": {}, \"upcoming\": {}, \"running\": {}, \"failed\": {}, \"oldest_ready_ms\": {}, "
          "\"completed_last_hour\": {},"
          " \"retried_last_hour\": {}, \"failed_last_hour\": {}, \"workers\": {}}}\n",
          nlohmann::json(one.queue).dump(), one.ready, one.upcoming, one.running, one.failed,
          one.oldest_ready ? std::to_string(one.oldest_ready->count()) : "null", one.completed_last_hour, one.retried_last_hour,
          one.failed_last_hour, one.workers);
      continue;
    }
    const auto text = [](std::int64_t number) { return std::to_string(number); };
    table.add({one.queue, text(one.ready), text(one.upcoming), text(one.running), text(one.failed),
               one.oldest_ready ? fmt::format("{:.1f} s", static_cast<double>(one.oldest_ready->count()) / 1000) : "-",
               text(one.completed_last_hour), text(one.retried_last_hour), text(one.failed_last_hour), text(one.workers)});
  }
  if (globals.json) return;
  if (queues.empty())
    fmt::print("no queues yet: nothing was enqueued and no worker is here\n");
  else
    table.print();
}

void doctor(const Globals& globals, bool fix) {
  postgres::Connection link(postgres::Dial{.url = globals.url(), .application = "millrace doctor", .schema = globals.schema});
  const std::string schema = base::quote_identifier(globals.schema);
  const auto rows = link.run("SELECT problem, task, lease, detail FROM " + schema + ".doctor() ORDER BY 1, 2");
  Table table({"PROBLEM", "TASK", "LEASE", "DETAIL"});
  for (int row = 0; row < rows.size(); ++row) {
    const auto text = [&](int column) { return std::string(rows.text(row, column)); };
    if (globals.json) {
      const auto id = [&](int column) {
        return rows.is_null(row, column) ? nlohmann::ordered_json() : nlohmann::ordered_json(rows.integer(row, column));
      };
      fmt::print("{}\n", nlohmann::ordered_json{{"problem", text(0)}, {"task", id(1)}, {"lease", id(2)}, {"detail", text(3)}}.dump());
    } else {
      table.add({text(0), text(1), text(2), text(3)});
    }
  }
  if (rows.size() == 0) {
    if (!globals.json) fmt::print("healthy: tasks, tickets and leases agree\n");
    return;
  }
  if (!globals.json) table.print();
  const std::string problems = rows.size() == 1 ? "1 problem" : fmt::format("{} problems", rows.size());
  if (!fix) {
    if (!globals.json) fmt::print("{}; millrace doctor --fix mends {}\n", problems, rows.size() == 1 ? "it" : "them");
    throw Exit{1};
  }
  const auto mended = link.run("SELECT " + schema + ".mend()").integer(0, 0);
  if (globals.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"mended", mended}}.dump());
  else
    fmt::print("mended {} of {}\n", mended, problems);
}

}  // namespace

void add_stats(CLI::App& app, Globals& globals) {
  app.add_subcommand("stats", "What each queue holds, and what happened in the last hour")->callback([&globals] { stats(globals); });
}

void add_doctor(CLI::App& app, Globals& globals) {
  const auto fix = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("doctor", "Find tasks, tickets and leases that disagree");
  command->add_flag("--fix", *fix, "Mend what is found");
  command->callback([&globals, fix] { doctor(globals, *fix); });
}

}  // namespace millrace::cli
