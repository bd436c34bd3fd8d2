// millrace schedule create | list | show | preview | pause | resume | run | delete
#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/args_check.hpp"
#include "cli/duration.hpp"
#include "cli/table.hpp"
#include "engine/schedules.hpp"

#include <millrace/client.hpp>
#include <millrace/limits.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::cli {
namespace {

using Json = nlohmann::ordered_json;

Json time_json(const std::optional<Time>& time) { return time ? Json(base::format_time(*time)) : Json(); }
// To the second, as ticks are; what people read needs no more.
std::string short_time(const std::optional<Time>& time) { return time ? base::format_time(*time).substr(0, 19) + 'Z' : std::string("-"); }

Time parse_when(const char* option, const std::string& text) {
  if (const auto time = base::parse_time(text)) return *time;
  throw InvalidArgument(option, fmt::format("is \"{}\"; allowed are times such as 2026-12-24T18:00:00Z", text));
}

// What the rule and its zone are, apart from whose they are.
struct Plan {
  std::optional<std::string> zone{}, gap{}, fold{}, anchor{};

  void add_to(CLI::App& command) {
    command.add_option("--zone", zone, "The IANA time zone the rule is meant in; default: UTC")->type_name("ZONE");
    command.add_option("--gap", gap, "Local times that clocks skip: skip or shift; default: shift")->type_name("POLICY");
    command.add_option("--fold", fold, "Local times that come twice: first, last or both; default: first")->type_name("POLICY");
    command.add_option("--anchor", anchor, "Where intervals count from; default: when it was made")->type_name("TIME");
  }
  void apply(ScheduleOptions& options) const {
    if (zone) options.zone = *zone;
    if (gap) options.gap = engine::named<Gap>("--gap", engine::gaps, *gap);
    if (fold) options.fold = engine::named<Fold>("--fold", engine::folds, *fold);
    if (anchor) options.anchor = parse_when("--anchor", *anchor);
  }
};

struct Creation {
  std::string name{}, rule{}, kind{}, args{"{}"};
  Plan plan{};
  std::optional<std::string> misfire{}, misfire_max{}, grace{}, jitter{}, exclusive{}, queue{}, priority{}, max_attempts{}, timeout{},
      retry{};
  std::vector<std::string> tags{};
};

ScheduleOptions options_of(const Creation& call) {
  ScheduleOptions options;
  call.plan.apply(options);
  if (call.misfire) options.misfire = engine::named<Misfire>("--misfire", engine::misfires, *call.misfire);
  if (call.misfire_max) options.misfire_max = parse_int("--misfire-max", *call.misfire_max, 1, 100);
  if (call.grace) options.grace = parse_duration("--grace", *call.grace);
  if (call.jitter) options.jitter = parse_duration("--jitter", *call.jitter);
  if (call.exclusive) options.exclusive = engine::named<Exclusive>("--exclusive", engine::exclusives, *call.exclusive);
  options.task.queue = call.queue;
  options.task.tags = call.tags;
  if (call.priority) options.task.priority = parse_priority(*call.priority);
  if (call.max_attempts) options.task.max_attempts = parse_int("--max-attempts", *call.max_attempts, 1, limits::attempts_max);
  if (call.timeout) options.task.timeout = parse_duration("--timeout", *call.timeout);
  if (call.retry) options.task.backoff = parse_backoff(*call.retry);
  return options;
}

ScheduleRecord one_schedule(Client& client, const std::string& name) {
  auto found = client.schedules(name);
  if (found.empty()) throw NotFound(fmt::format("there is no schedule \"{}\"; millrace schedule list shows all", name));
  return std::move(found.front());
}

// As the database will have it when the schedule ticks, with a tick that may be any.
std::string with_sample_tick(std::string args) {
  constexpr std::string_view mark = "{{tick}}", tick = "2026-01-01T00:00:00Z";
  for (std::size_t at = args.find(mark); at != std::string::npos; at = args.find(mark, at + tick.size()))
    args.replace(at, mark.size(), tick);
  return args;
}

void create(const Globals& globals, const Creation& call) {
  Client client = globals.client();
  ArgsCheck(client, call.kind)(with_sample_tick(call.args));
  const Put put = client.put_schedule(call.name, call.rule, call.kind, call.args, options_of(call));
  const ScheduleRecord made = one_schedule(client, call.name);
  const char* word = put == Put::created ? "created" : put == Put::changed ? "changed" : "unchanged";
  if (globals.json)
    fmt::print("{}\n", Json{{"name", made.name}, {"outcome", word}, {"next_tick", time_json(made.next_tick)}}.dump());
  else if (made.paused)
    fmt::print("schedule {} {}; it is paused: millrace schedule resume {}\n", printable(made.name), word, printable(made.name));
  else
    fmt::print("schedule {} {}; next at {}\n", printable(made.name), word, short_time(made.next_tick));
}

// args and the retry policy are embedded as the database printed them: no number is read and written again.
std::string json_of(const ScheduleRecord& one) {
  const Json head{{"name", one.name}, {"rule", one.rule}, {"kind", one.kind}};
  const Json tail{{"zone", one.zone},
                  {"gap", to_string(one.gap)},
                  {"fold", to_string(one.fold)},
                  {"misfire", to_string(one.misfire)},
                  {"misfire_max", one.misfire_max},
                  {"grace_ms", one.grace.count()},
                  {"jitter_ms", one.jitter.count()},
                  {"exclusive", to_string(one.exclusive)},
                  {"anchor", time_json(one.anchor)},
                  {"queue", one.queue},
                  {"priority", one.priority.value()},
                  {"max_attempts", one.max_attempts},
                  {"tags", one.tags},
                  {"timeout_ms", one.timeout ? Json(one.timeout->count()) : Json()},
                  {"paused", one.paused},
                  {"next_tick", time_json(one.next_tick)},
                  {"next_at", time_json(one.next_at)},
                  {"owed_tick", time_json(one.owed_tick)},
                  {"last_tick", time_json(one.last_tick)},
                  {"last_task", one.last_task ? Json(one.last_task->value) : Json()},
                  {"problem", one.problem ? Json(*one.problem) : Json()}};
  const std::string front = head.dump();
  return fmt::format("{}, \"args\": {}, \"backoff\": {}, {}", front.substr(0, front.size() - 1), one.args, one.backoff.value_or("null"),
                     tail.dump().substr(1));
}

std::string state_of(const ScheduleRecord& one) { return one.paused ? "paused" : one.problem ? "problem" : one.next_tick ? "on" : "over"; }

void list(const Globals& globals) {
  const auto all = globals.client().schedules();
  if (globals.json) {
    for (const ScheduleRecord& one : all) fmt::print("{}\n", json_of(one));
    return;
  }
  if (all.empty()) {
    fmt::print("no schedules; millrace schedule create NAME RULE KIND makes one\n");
    return;
  }
  Table table({"NAME", "RULE", "ZONE", "KIND", "STATE", "NEXT", "LAST", "LAST TASK"});
  for (const ScheduleRecord& one : all) {
    table.add({one.name, one.rule, one.zone, one.kind, state_of(one), one.paused ? "-" : short_time(one.next_tick),
               short_time(one.last_tick), one.last_task ? std::to_string(one.last_task->value) : "-"});
  }
  table.print();
}

void show(const Globals& globals, const std::string& name) {
  Client client = globals.client();
  const ScheduleRecord one = one_schedule(client, name);
  const auto past = client.past_ticks(name, 10);
  if (globals.json) {
    Json ticks = Json::array();
    for (const PastTick& tick : past) {
      ticks.push_back(Json{{"tick", time_json(tick.tick)},
                           {"outcome", to_string(tick.outcome)},
                           {"task", tick.task ? Json(tick.task->value) : Json()},
                           {"fired_at", time_json(tick.fired_at)}});
    }
    const std::string front = json_of(one);
    fmt::print("{}, \"ticks\": {}}}\n", front.substr(0, front.size() - 1), ticks.dump());
    return;
  }
  const auto line = [](const char* title, const std::string& value) {
    if (!value.empty()) fmt::print("{:<14} {}\n", title, printable(value, true));
  };
  line("schedule", one.name);
  line("rule", one.rule);
  line("zone", fmt::format("{} (gap {}, fold {})", one.zone, to_string(one.gap), to_string(one.fold)));
  line("kind", one.kind);
  line("args", one.args);
  line("queue", fmt::format("{}, priority {}", one.queue, one.priority.value()));
  line("attempts", std::to_string(one.max_attempts));
  line("tags", fmt::format("{}", fmt::join(one.tags, ", ")));
  if (one.timeout) line("timeout", format_duration(*one.timeout));
  line("retry policy", one.backoff.value_or(""));
  line("missed ticks", one.misfire == Misfire::all ? fmt::format("all, at most {}", one.misfire_max) : std::string(to_string(one.misfire)));
  line("grace", format_duration(one.grace));
  if (one.jitter.count() > 0) line("jitter", format_duration(one.jitter));
  if (one.exclusive != Exclusive::no) line("exclusive", std::string(to_string(one.exclusive)));
  line("state", state_of(one));
  line("problem", one.problem.value_or(""));
  line("next tick", one.paused ? std::string("-") : short_time(one.next_tick));
  if (one.owed_tick) line("waiting tick", short_time(one.owed_tick));
  line("last tick", short_time(one.last_tick));
  if (past.empty()) return;
  fmt::print("\n");
  Table table({"TICK", "OUTCOME", "TASK", "LATE"});
  for (const PastTick& tick : past) {
    table.add({short_time(tick.tick), std::string(to_string(tick.outcome)), tick.task ? std::to_string(tick.task->value) : "-",
               fmt::format("{:.3f} s", std::chrono::duration<double>(tick.fired_at - tick.tick).count())});
  }
  table.print();
}

struct Preview {
  std::string what{}, count{"20"};
  std::optional<std::string> from{};
  Plan plan{};
};

// A name has no blanks as a rule has, but a schedule may be called anything: what there is a schedule of is a name.
void preview(const Globals& globals, const Preview& call) {
  Client client = globals.client();
  const std::optional<Time> from = call.from ? std::optional(parse_when("--from", *call.from)) : std::nullopt;
  const int count = parse_int("--count", call.count, 1, 1000);
  std::vector<TickRecord> ticks;
  if (const auto schedules = client.schedules(call.what); !schedules.empty()) {
    if (call.plan.zone || call.plan.gap || call.plan.fold || call.plan.anchor)
      throw InvalidArgument("--zone, --gap, --fold and --anchor",
                            fmt::format("are those of schedule \"{}\"; give its rule to try others", call.what));
    ticks = client.preview_schedule(call.what, from, count);
  } else if (call.what.find(' ') == std::string::npos && call.what.substr(0, 1) != "@") {
    throw NotFound(fmt::format("there is no schedule \"{}\"; a rule has several words, such as '0 9 * * MON-FRI'", call.what));
  } else {
    ScheduleOptions options;
    call.plan.apply(options);
    ticks = client.preview_rule(call.what, options, from, count);
  }
  if (globals.json) {
    for (const TickRecord& tick : ticks)
      fmt::print("{}\n", Json{{"at", time_json(tick.at)}, {"local", tick.local}, {"note", tick.note}}.dump());
    return;
  }
  if (ticks.empty()) {
    fmt::print("no ticks\n");
    return;
  }
  Table table({"LOCAL TIME", "UTC", "NOTE"});
  for (const TickRecord& tick : ticks) table.add({tick.local, short_time(tick.at), tick.note});
  table.print();
}

void say(const Globals& globals, const std::string& name, const char* word, const std::string& rest = {}) {
  if (globals.json)
    fmt::print("{}\n", Json{{"name", name}, {"outcome", word}}.dump());
  else
    fmt::print("schedule {} {}{}\n", printable(name), word, rest);
}

}  // namespace

void add_schedule(CLI::App& app, Globals& globals) {
  CLI::App* schedule = app.add_subcommand("schedule", "Tasks that recur: make schedules, look at them, stop them");
  schedule->require_subcommand(1);

  const auto creation = std::make_shared<Creation>();
  CLI::App* make = schedule->add_subcommand("create", "Make a schedule, or make the one of that name so");
  make->add_option("name", creation->name, "Its name")->required();
  make->add_option("rule", creation->rule, "A cron of 5 fields (6 with seconds first), @hourly to @yearly, or such as 'every 90s'")
      ->required();
  make->add_option("kind", creation->kind, "The kind of its tasks")->required();
  make->add_option("args", creation->args, "A JSON object; {{tick}} in it becomes each tick's time")->capture_default_str();
  creation->plan.add_to(*make);
  make->add_option("--misfire", creation->misfire, "Ticks missed while nothing ran: skip, one or all; default: one")->type_name("POLICY");
  make->add_option("--misfire-max", creation->misfire_max, "Of all, at most so many, the latest; 1 to 100, default 100")->type_name("INT");
  make->add_option("--grace", creation->grace, "A tick later than this was missed; default: 1m")->type_name("DURATION");
  make->add_option("--jitter", creation->jitter, "Fire each tick up to so much later, spread evenly; default: 0s")->type_name("DURATION");
  make->add_option("--exclusive", creation->exclusive, "While the last task is live: no, skip or queue; default: no")->type_name("POLICY");
  make->add_option("--queue", creation->queue, "The queue of its tasks; default: default");
  make->add_option("--priority", creation->priority, "0 to 100, or critical, high, normal, low; default: normal");
  make->add_option("--max-attempts", creation->max_attempts, "Runs before a task becomes a dead letter; 1 to 1000, default 5")
      ->type_name("INT");
  make->add_option("--timeout", creation->timeout, "Longest run of one attempt, such as 30s")->type_name("DURATION");
  make->add_option("--tag", creation->tags, "A tag of its tasks; may be repeated")->allow_extra_args(false);
  make->add_option("--retry", creation->retry, "exponential(1s,60s), linear(1s,60s) or fixed(5s)")->type_name("POLICY");
  make->footer(
      "Example:\n  millrace schedule create nightly-report '30 2 * * *' report '{\"day\": \"{{tick}}\"}' --zone Europe/Berlin\n"
      "  millrace schedule preview nightly-report");
  make->callback([&globals, creation] { create(globals, *creation); });

  schedule->add_subcommand("list", "All schedules, with their next and last tick")->callback([&globals] { list(globals); });

  const auto name = std::make_shared<std::string>();
  const auto verb = [&](const char* word, const char* help, auto action) {
    CLI::App* command = schedule->add_subcommand(word, help);
    command->add_option("name", *name, "The schedule's name")->required();
    command->callback([&globals, name, action] { action(globals, *name); });
  };
  verb("show", "Everything about one schedule, and its latest ticks", [](const Globals& g, const std::string& n) { show(g, n); });

  const auto previewing = std::make_shared<Preview>();
  CLI::App* look = schedule->add_subcommand("preview", "The next ticks of a schedule or of a rule, with what changes of clocks do to them");
  look->add_option("schedule", previewing->what, "The schedule's name, or a rule")->required()->type_name("NAME|RULE");
  previewing->plan.add_to(*look);
  look->add_option("--from", previewing->from, "Ticks after this time; default: now")->type_name("TIME");
  look->add_option("--count", previewing->count, "How many; 1 to 1000")->type_name("INT")->capture_default_str();
  look->footer("Example:\n  millrace schedule preview '30 2 * * *' --zone Europe/Berlin --from 2027-03-27T00:00:00Z --count 3");
  look->callback([&globals, previewing] { preview(globals, *previewing); });

  verb("pause", "Stop a schedule: no more ticks until it is resumed", [](const Globals& g, const std::string& n) {
    g.client().pause_schedule(n);
    say(g, n, "paused");
  });
  verb("resume", "Let a paused schedule go on with the first tick after now", [](const Globals& g, const std::string& n) {
    const auto next = g.client().resume_schedule(n);
    if (g.json) return fmt::print("{}\n", Json{{"name", n}, {"outcome", "resumed"}, {"next_tick", time_json(next)}}.dump());
    say(g, n, "resumed", next ? "; next at " + short_time(next) : "; its rule has no more ticks");
  });
  verb("run", "Add a task of a schedule now, beside its ticks", [](const Globals& g, const std::string& n) {
    const TaskId task = g.client().run_schedule(n);
    if (g.json)
      fmt::print("{}\n", Json{{"name", n}, {"outcome", "run"}, {"task", task.value}}.dump());
    else
      fmt::print("schedule {} run: task {}\n", printable(n), task.value);
  });
  verb("delete", "Delete a schedule; the tasks that it made stay", [](const Globals& g, const std::string& n) {
    g.client().delete_schedule(n);
    say(g, n, "deleted");
  });
}

}  // namespace millrace::cli
