// millrace worker --queue NAME=N --exec KIND=COMMAND
#include "cli/app.hpp"
#include "cli/duration.hpp"
#include "cli/exec_handler.hpp"
#include "cli/failure.hpp"
#include "cli/table.hpp"
#include "cli/until_empty.hpp"

#include <millrace/client.hpp>
#include <millrace/worker.hpp>

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <charconv>
#include <memory>
#include <thread>
#include <utility>

namespace millrace::cli {
namespace {

struct Call {
  std::vector<std::string> queues{}, execs{};
  std::string lease_ttl{"30s"}, heartbeat{}, poll{"1s"}, grace{"30s"}, name{};
  std::string batch{"500"};
  bool no_listen = false;
  bool until_empty = false;
  bool preflight = false;
};

WorkerQueue queue_of(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string::npos) return {.name = text};
  WorkerQueue queue{.name = text.substr(0, equals), .concurrency = 0};
  const auto [end, error] = std::from_chars(text.data() + equals + 1, text.data() + text.size(), queue.concurrency);
  if (error != std::errc{} || end != text.data() + text.size())
    throw InvalidArgument("--queue", fmt::format("is \"{}\"; allowed is NAME=N, such as default=10", text));
  return queue;
}

WorkerOptions options_of(const Globals& globals, const Call& call) {
  WorkerOptions options{.database = globals.url(), .schema = globals.schema, .name = call.name};
  if (!call.queues.empty()) {
    options.queues.clear();
    for (const std::string& one : call.queues) options.queues.push_back(queue_of(one));
  }
  options.lease_ttl = parse_duration("--lease-ttl", call.lease_ttl);
  if (!call.heartbeat.empty()) options.heartbeat = parse_duration("--heartbeat", call.heartbeat);
  options.poll_interval = parse_duration("--poll", call.poll);
  options.grace = parse_duration("--grace", call.grace);
  options.batch = parse_int("--batch", call.batch, 1, 5000);
  options.listen = !call.no_listen;
  return options;
}

// Programs read their args themselves; what can be told is which kinds wait that no program here handles.
void report(const Globals& globals, const std::vector<PreflightKind>& kinds) {
  Table table({"KIND", "LIVE", "UNREADABLE", "HANDLER"});
  std::string missing;
  for (const PreflightKind& one : kinds) {
    if (!one.handled) missing += (missing.empty() ? "" : ", ") + one.kind;
    if (globals.json)
      fmt::print(
          "{}\n",
          nlohmann::ordered_json{{"kind", one.kind}, {"live", one.live}, {"unreadable", one.unreadable}, {"handled", one.handled}}.dump());
    else
      table.add({one.kind, std::to_string(one.live), std::to_string(one.unreadable), one.handled ? "yes" : "no"});
  }
  if (!globals.json) kinds.empty() ? fmt::print("no live tasks in these queues\n") : table.print();
  if (!missing.empty()) throw Exit{fail(1, "no handler for " + missing + "; give one with --exec, or serve other queues")};
}

void work(const Globals& globals, const Call& call) {
  WorkerOptions options = options_of(globals, call);
  // The worker's own default, which what is said beside it goes to as well.
  options.logger = std::make_shared<spdlog::logger>("millrace", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  if (call.execs.empty())
    throw InvalidArgument("--exec", "is missing; a worker needs at least one KIND=COMMAND, such as --exec send-email=./send.sh");
  Worker worker(options);
  std::vector<std::string> handled;
  for (const std::string& one : call.execs) {
    const std::size_t equals = one.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == one.size())
      throw InvalidArgument("--exec", fmt::format("is \"{}\"; allowed is KIND=COMMAND", one));
    handled.push_back(one.substr(0, equals));
    worker.handle_raw(handled.back(), exec_handler(one.substr(equals + 1), globals.schema));
  }
  if (call.preflight) return report(globals, worker.preflight());
  std::jthread watcher;
  if (call.until_empty) watcher = std::jthread([&](const std::stop_token& stop) { watch_until_empty(stop, options, handled); });
  worker.run();
}

}  // namespace

void add_worker(CLI::App& app, Globals& globals) {
  const auto call = std::make_shared<Call>();
  CLI::App* command = app.add_subcommand("worker", "Run tasks, each kind by a program of yours; list, pause, resume and stop workers");
  command->add_option("--queue", call->queues, "A queue to serve and how many of its tasks at once; default: default=10")
      ->type_name("NAME=N");
  command->add_option("--exec", call->execs, "The program that runs tasks of a kind: args on stdin, result on stdout's last line")
      ->type_name("KIND=COMMAND");
  command->add_option("--lease-ttl", call->lease_ttl, "Not heard from for so long, this worker is dead")
      ->type_name("DURATION")
      ->capture_default_str();
  command->add_option("--heartbeat", call->heartbeat, "How often it says that it lives; default: a sixth of --lease-ttl")
      ->type_name("DURATION");
  command->add_option("--poll", call->poll, "How often it looks without being woken")->type_name("DURATION")->capture_default_str();
  command->add_option("--grace", call->grace, "How long running tasks may finish at SIGTERM")->type_name("DURATION")->capture_default_str();
  command->add_option("--batch", call->batch, "Most tasks of one claim; 1 to 5000")->type_name("INT")->capture_default_str();
  command->add_option("--name", call->name, "For people; default: host:pid");
  command->add_flag("--no-listen", call->no_listen, "Poll only: no LISTEN, no session state, for transaction poolers");
  command->add_flag("--until-empty", call->until_empty,
                    "Stop when nothing is left: nothing scheduled or retrying, and no other kind either");
  command->add_flag("--preflight", call->preflight, "Run nothing: tell which kinds wait, and end with 1 if one has no program here");
  // Before the footer, which the subcommands would inherit.
  add_worker_control(*command, globals);
  command->footer(
      "Exit codes of a program: 0 completed, 75 retry, 65 failed for good, 77 cancelled, anything else is a\nfailed attempt.\n"
      "A line \"millrace: progress 3/10 NOTE\" on its standard error tells how far it is; the others are logged.\n"
      "Example:\n  millrace worker --queue mail=10 --exec send-email=./send.sh");
  // Only without one of the subcommands, whose own callback it is then.
  command->callback([&globals, call, command] {
    if (command->get_subcommands().empty()) work(globals, *call);
  });
}

}  // namespace millrace::cli
