#include "worker/kinds.hpp"

#include "base/text.hpp"
#include "engine/enqueue.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace millrace::worker {

void add_kind(State& state, std::string name, RawHandler handler, KindOptions options, bool declared) {
  auto kind = std::make_shared<Handled>();
  std::vector<std::string> names = options.aliases;
  names.insert(names.begin(), name);
  for (auto one = names.begin(); one != names.end(); ++one) {
    base::check_name(one == names.begin() ? "kind" : "alias", *one, limits::kind_bytes_max);
    if (state.kinds.contains(*one) || std::find(names.begin(), one, *one) != one)
      throw InvalidArgument("kind", fmt::format("\"{}\" has a handler already", *one));
  }
  engine::check_options(name, options.defaults);
  kind->name = std::move(name);
  kind->handler = options.exceptions.guard(std::move(handler));
  kind->options = std::move(options);
  kind->declared = declared;
  for (std::string& one : names) state.kinds.emplace(std::move(one), kind);
}

void register_kinds(const State& state, postgres::Connection& link) {
  auto declared = nlohmann::json::array();
  for (const auto& [name, kind] : state.kinds) {
    if (!kind->declared) continue;
    nlohmann::json one{{"kind", name}};
    const EnqueueOptions& defaults = kind->options.defaults;
    if (name != kind->name) one["alias_of"] = kind->name;
    if (defaults.queue) one["queue"] = *defaults.queue;
    if (defaults.priority) one["priority"] = defaults.priority->value();
    if (defaults.max_attempts) one["max_attempts"] = *defaults.max_attempts;
    if (defaults.backoff) one["backoff"] = nlohmann::json::parse(engine::backoff_json(*defaults.backoff));
    if (defaults.timeout) one["timeout_ms"] = defaults.timeout->count();
    if (kind->options.schema) one["schema"] = nlohmann::json::parse(kind->options.schema->text());
    declared.push_back(std::move(one));
  }
  if (declared.empty()) return;
  const auto rows =
      link.run(fmt::format("SELECT unnest({}.register_kinds($1::jsonb))", state.schema), postgres::Params().text(declared.dump()));
  for (int row = 0; row < rows.size(); ++row) state.log->info("kind {} registered", rows.text(row, 0));
}

}  // namespace millrace::worker
