// millrace worker list | pause | resume | stop
#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/table.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>

namespace millrace::cli {
namespace {

// The first few: a worker may handle hundreds.
std::string kinds_of(const WorkerRecord& worker) {
  constexpr std::size_t shown = 3;
  if (!worker.kinds) return "all";
  const auto& kinds = *worker.kinds;
  std::string text =
      fmt::format("{}", fmt::join(kinds.begin(), kinds.begin() + static_cast<std::ptrdiff_t>(std::min(shown, kinds.size())), ", "));
  if (kinds.size() > shown) text += fmt::format(" and {} more", kinds.size() - shown);
  return text.empty() ? "none" : text;
}

void list(const Globals& globals) {
  const auto workers = globals.client().workers();
  Table table({"ID", "NAME", "STATE", "QUEUES", "KINDS", "RUNNING", "COMPLETED", "FAILED", "STARTED", "SEEN"});
  for (const WorkerRecord& one : workers) {
    if (globals.json) {
      fmt::print("{}\n", nlohmann::ordered_json{{"id", one.id},
                                                {"name", one.name},
                                                {"host", one.host},
                                                {"pid", one.pid},
                                                {"version", one.version},
                                                {"queues", one.queues},
                                                {"kinds", one.kinds ? nlohmann::ordered_json(*one.kinds) : nlohmann::ordered_json()},
                                                {"state", one.state},
                                                {"wish", one.wish},
                                                {"running", one.running},
                                                {"completed", one.completed},
                                                {"failed", one.failed},
                                                {"started_at", base::format_time(one.started_at)},
                                                {"seen_at", base::format_time(one.seen_at)},
                                                {"alive", one.alive}}
                             .dump());
      continue;
    }
    table.add({one.id, one.name, one.alive ? one.state : "dead", fmt::format("{}", fmt::join(one.queues, ", ")), kinds_of(one),
               std::to_string(one.running), std::to_string(one.completed), std::to_string(one.failed),
               base::format_time(one.started_at).substr(0, 19), base::format_time(one.seen_at).substr(0, 19)});
  }
  if (globals.json) return;
  if (workers.empty())
    fmt::print("no workers; millrace worker --exec KIND=COMMAND starts one\n");
  else
    table.print();
}

}  // namespace

void add_worker_control(CLI::App& worker, Globals& globals) {
  worker.add_subcommand("list", "The workers that are here")->callback([&globals] { list(globals); });
  const auto name = std::make_shared<std::string>();
  const auto order = [&](const char* verb, const char* help, std::string (Client::*how)(const std::string&), const char* said) {
    CLI::App* command = worker.add_subcommand(verb, help);
    command->add_option("worker", *name, "Its id, the beginning of it (4 characters), or its name")->required()->type_name("ID");
    command->callback([&globals, name, how, said] {
      Client client = globals.client();
      const std::string id = (client.*how)(*name);
      if (globals.json)
        fmt::print("{}\n", nlohmann::ordered_json{{"id", id}, {"asked", said}}.dump());
      else
        fmt::print("worker {} was asked to {}\n", id, said);
    });
  };
  order("pause", "Ask a worker to claim no more; what has begun goes on", &Client::pause_worker, "pause");
  order("resume", "Ask a paused worker to claim again", &Client::resume_worker, "resume");
  order("stop", "Ask a worker to end, as SIGTERM does", &Client::stop_worker, "stop");
}

}  // namespace millrace::cli
