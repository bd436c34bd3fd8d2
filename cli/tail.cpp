// millrace tail
#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/duration.hpp"
#include "cli/table.hpp"
#include "worker/signals.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <thread>

namespace millrace::cli {
namespace {

struct Call {
  std::optional<std::string> queue{}, kind{}, correlation{}, since{};
  std::string interval{"500ms"};
};

std::string short_time(Milliseconds time) {
  if (time < std::chrono::seconds(1)) return fmt::format("{} ms", time.count());
  const double seconds = static_cast<double>(time.count()) / 1000;
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  return fmt::format("{:.1f} min", seconds / 60);
}

const char* colour_of(Status status) {
  switch (status) {
    case Status::completed: return "\033[32m";
    case Status::failed: return "\033[31m";
    case Status::retrying: return "\033[33m";
    case Status::cancelled: return "\033[35m";
    case Status::running: return "\033[36m";
    case Status::waiting:
    case Status::pending:
    case Status::scheduled: break;
  }
  return "";
}

std::string json_of(const Transition& one) {
  nlohmann::ordered_json json{{"at", base::format_time(one.at)},
                              {"id", one.id.value},
                              {"kind", one.kind},
                              {"queue", one.queue},
                              {"status", to_string(one.status)},
                              {"attempt", one.attempt},
                              {"max_attempts", one.max_attempts}};
  const auto set = [&json](const char* name, const auto& value) { value ? json[name] = *value : json[name] = nullptr; };
  set("duration_ms", one.duration ? std::optional(one.duration->count()) : std::nullopt);
  set("error", one.error.empty() ? std::nullopt : std::optional(one.error));
  set("reason", one.reason);
  set("run_at", one.run_at ? std::optional(base::format_time(*one.run_at)) : std::nullopt);
  set("correlation", one.correlation);
  return json.dump();
}

// Lines whose columns align as far as what was printed can know: a name that is longer than all before it moves those after it.
class Lines {
 public:
  Lines() : coloured_(::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr) {}

  void print(const Transition& one) {
    std::string end;
    if (one.duration) end += short_time(*one.duration);
    // The message's first line: a trace goes with `task show`.
    const std::string message = one.error.empty() ? one.reason.value_or("") : one.error.substr(0, one.error.find('\n'));
    if (!message.empty()) end += (end.empty() ? "" : "  ") + message;
    if (one.run_at) end += (end.empty() ? "" : "  ") + ("at " + base::format_time(*one.run_at).substr(0, 19) + "Z");
    const std::string status(to_string(one.status));
    const std::string attempt = one.attempt > 0 ? fmt::format("{}/{}", one.attempt, one.max_attempts) : "";
    std::string line = fmt::format("{}  {}  {}  {}  ", base::format_time(one.at).substr(11, 12), wide(std::to_string(one.id.value), id_),
                                   wide(printable(one.kind), kind_), wide(printable(one.queue), queue_));
    const std::string_view colour = coloured_ ? colour_of(one.status) : "";
    line += fmt::format("{}{:<9}{}", colour, status, colour.empty() ? "" : "\033[0m");
    line += fmt::format("  {:<5}  {}", attempt, printable(end));
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }

 private:
  static std::string wide(const std::string& text, std::size_t& width) {
    const auto characters = static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
    width = std::max(width, characters);
    return text + std::string(width - characters, ' ');
  }

  bool coloured_;
  std::size_t id_ = 4, kind_ = 12, queue_ = 7;
};

// Ends the tail when SIGINT or SIGTERM comes, or when nobody reads what it prints any more.
void watch(const std::stop_token& over, const worker::Signals& signals, std::stop_source& stop) {
  pollfd watched[2] = {{signals.fd(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}};
  while (!over.stop_requested()) {
    if (::poll(watched, 2, 100) <= 0) continue;
    stop.request_stop();
    return;
  }
}

void tail(const Globals& globals, const Call& call) {
  TailOptions options{
      .queue = call.queue, .kind = call.kind, .correlation = call.correlation, .interval = parse_duration("--interval", call.interval)};
  if (call.since) options.since = parse_duration("--since", *call.since);
  const std::string pace = call.interval;
  const bool json = globals.json;
  if (!json) {
    options.on_ready = [&] {
      fmt::print(stderr, "following {} every {}; Ctrl-C ends it\n", call.queue ? "queue " + printable(*call.queue) : "all queues", pace);
    };
  }
  options.on_skipped = [](std::int64_t count) {
    fmt::print(stderr, "about {} new tasks are not shown: more came than it looks at\n", count);
  };
  Client client = globals.client();
  const worker::Signals signals;
  std::stop_source stop;
  const std::jthread watcher([&](const std::stop_token& over) { watch(over, signals, stop); });
  Lines lines;
  client.tail(
      options,
      [&](const Transition& one) {
        json ? fmt::print("{}\n", json_of(one)) : lines.print(one);
        std::fflush(stdout);
      },
      stop.get_token());
}

}  // namespace

void add_tail(CLI::App& app, Globals& globals) {
  const auto call = std::make_shared<Call>();
  CLI::App* command = app.add_subcommand("tail", "Follow what becomes of tasks, a line each time, until Ctrl-C");
  command->add_option("--queue", call->queue, "Only this queue");
  command->add_option("--kind", call->kind, "Only this kind");
  command->add_option("--correlation", call->correlation, "Only with this correlation id: no end of its newest 1000 tasks is missed");
  command->add_option("--since", call->since, "Also what happened so long before, as far as the newest 1000 tasks tell")
      ->type_name("DURATION");
  command->add_option("--interval", call->interval, "How often it looks; 50ms to 1m")->type_name("DURATION")->capture_default_str();
  command->footer("It looks at the queue, so what comes and goes between two looks may be missed: docs/events.md.");
  command->callback([&globals, call] { tail(globals, *call); });
}

}  // namespace millrace::cli
