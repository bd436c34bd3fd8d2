// millrace kind list | show | forget
#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/duration.hpp"
#include "cli/table.hpp"

#include <millrace/client.hpp>
#include <millrace/error.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <memory>

namespace millrace::cli {
namespace {

nlohmann::ordered_json json_of(const KindRecord& one) {
  nlohmann::ordered_json json{{"kind", one.kind}, {"registered_at", base::format_time(one.registered_at)}};
  if (one.alias_of) json["alias_of"] = *one.alias_of;
  if (one.queue) json["queue"] = *one.queue;
  if (one.priority) json["priority"] = one.priority->value();
  if (one.max_attempts) json["max_attempts"] = *one.max_attempts;
  if (one.backoff) json["backoff"] = nlohmann::json::parse(*one.backoff);
  if (one.timeout) json["timeout_ms"] = one.timeout->count();
  if (one.schema) json["schema"] = nlohmann::json::parse(*one.schema);
  return json;
}

void list(const Globals& globals) {
  const auto kinds = globals.client().kinds();
  Table table({"KIND", "QUEUE", "PRIORITY", "ATTEMPTS", "TIMEOUT", "SCHEMA", "REGISTERED"});
  const auto or_dash = [](const auto& value, auto text) { return value ? text(*value) : std::string("-"); };
  for (const KindRecord& one : kinds) {
    if (globals.json) {
      fmt::print("{}\n", json_of(one).dump());
      continue;
    }
    table.add({one.alias_of ? fmt::format("{} (now {})", one.kind, *one.alias_of) : one.kind,
               or_dash(one.queue, [](const std::string& queue) { return queue; }),
               or_dash(one.priority, [](Priority priority) { return std::to_string(priority.value()); }),
               or_dash(one.max_attempts, [](int attempts) { return std::to_string(attempts); }),
               or_dash(one.timeout, [](Milliseconds timeout) { return format_duration(timeout); }), one.schema ? "yes" : "-",
               base::format_time(one.registered_at).substr(0, 19)});
  }
  if (globals.json) return;
  if (kinds.empty())
    fmt::print("no kinds are declared; a C++ worker declares those that it handles when it starts\n");
  else
    table.print();
}

void show(const Globals& globals, const std::string& kind) {
  const auto found = globals.client().kinds(kind);
  if (found.empty()) throw NotFound(fmt::format("no worker declared a kind \"{}\"; millrace kind list shows those that are", kind));
  fmt::print("{}\n", json_of(found[0]).dump(globals.json ? -1 : 2));
}

}  // namespace

void add_kind(CLI::App& app, Globals& globals) {
  CLI::App* group = app.add_subcommand("kind", "What workers declare of the kinds that they handle: their tasks' defaults and schema");
  group->require_subcommand(1);
  group->add_subcommand("list", "The kinds that workers declared, with their defaults")->callback([&globals] { list(globals); });
  const auto name = std::make_shared<std::string>();
  CLI::App* one = group->add_subcommand("show", "What was declared of one kind, with its retry policy and the JSON Schema of its args");
  one->add_option("kind", *name, "The kind, or a former name of it")->required();
  one->callback([&globals, name] { show(globals, *name); });
  CLI::App* forget = group->add_subcommand("forget", "Forget what was declared of a kind that nobody handles any more; its tasks stay");
  forget->add_option("kind", *name, "The kind, or a former name of it")->required();
  forget->callback([&globals, name] {
    globals.client().forget_kind(*name);
    if (globals.json)
      fmt::print("{}\n", nlohmann::ordered_json{{"kind", *name}, {"forgotten", true}}.dump());
    else
      fmt::print("kind {} is forgotten\n", *name);
  });
}

}  // namespace millrace::cli
