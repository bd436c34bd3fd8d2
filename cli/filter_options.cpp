#include "cli/filter_options.hpp"

#include "base/text.hpp"
#include "base/time_text.hpp"
#include "cli/duration.hpp"
#include "postgres/connection.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <string_view>

namespace millrace::cli {

void add_filter_options(CLI::App& command, FilterWords& words, bool dead_letters) {
  const char* which = "Which tasks (all that are given must fit)";
  const auto text = [&](const char* name, std::optional<std::string>& word, const char* help) {
    return command.add_option(name, word, help)->group(which);
  };
  if (!dead_letters) {
    command.add_option("--status", words.status, "pending, scheduled, retrying, running, completed, failed, cancelled; several: a,b")
        ->allow_extra_args(false)
        ->group(which);
  }
  text("--queue", words.queue, "Only this queue");
  text("--kind", words.kind, "Only this kind");
  command.add_option("--tag", words.tags, "Only with this tag; repeated: with all of them")->allow_extra_args(false)->group(which);
  text("--tenant", words.tenant, "Only of this tenant");
  text("--correlation", words.correlation, "Only with this correlation id");
  const char* when = "Which tasks, by time: 2026-12-24T18:00:00Z, or how long ago, such as 2h";
  const auto time = [&](const char* name, std::optional<std::string>& word, const char* help) {
    command.add_option(name, word, help)->type_name("TIME")->group(when);
  };
  time("--created-from", words.created_from, "Created then or later");
  time("--created-until", words.created_until, "Created before");
  if (!dead_letters) {
    time("--finished-from", words.finished_from, "Completed, failed or cancelled then or later");
    time("--finished-until", words.finished_until, "Completed, failed or cancelled before");
  }
  time("--dead-from", words.dead_from, "Became a dead letter then or later");
  time("--dead-until", words.dead_until, "Became a dead letter before");
}

bool says_anything(const FilterWords& words) {
  for (const auto* word : {&words.queue, &words.kind, &words.tenant, &words.correlation, &words.created_from, &words.created_until,
                           &words.finished_from, &words.finished_until, &words.dead_from, &words.dead_until}) {
    if (*word) return true;
  }
  return !words.status.empty() || !words.tags.empty();
}

Time database_now(const Globals& globals) {
  postgres::Connection link(postgres::Dial{.url = globals.url(), .application = "millrace", .schema = globals.schema});
  return link.run("SELECT " + base::quote_identifier(globals.schema) + ".clock()").time(0, 0).value();
}

Time time_before(const Globals& globals, const char* option, const std::string& text) {
  const Milliseconds ago = parse_duration(option, text);
  if (ago > std::chrono::days(36525)) throw InvalidArgument(option, fmt::format("is \"{}\"; allowed is at most 36525d", text));
  return std::max(database_now(globals) - ago, Time{});
}

Time moment_of(const Globals& globals, const char* option, const std::string& text) {
  if (const auto time = base::parse_time(text)) return *time;
  try {
    static_cast<void>(parse_duration(option, text));
  } catch (const InvalidArgument&) {
    throw InvalidArgument(option,
                          fmt::format("is \"{}\"; allowed are times such as 2026-12-24T18:00:00Z, or how long ago, such as 2h", text));
  }
  return time_before(globals, option, text);
}

TaskFilter filter_of(const Globals& globals, const FilterWords& words) {
  const auto time = [&](const char* option, const std::optional<std::string>& word) -> std::optional<Time> {
    if (!word) return {};
    return moment_of(globals, option, *word);
  };
  TaskFilter filter;
  for (const std::string& statuses : words.status) {
    // Not CLI11's delimiter, which drops what is empty between two commas.
    for (std::size_t begin = 0; begin <= statuses.size();) {
      const std::size_t comma = std::min(statuses.find(',', begin), statuses.size());
      filter.status.push_back(status_from(std::string_view(statuses).substr(begin, comma - begin)));
      begin = comma + 1;
    }
  }
  filter.queue = words.queue;
  filter.kind = words.kind;
  filter.tags = words.tags;
  filter.tenant = words.tenant;
  filter.correlation = words.correlation;
  filter.created_from = time("--created-from", words.created_from);
  filter.created_until = time("--created-until", words.created_until);
  filter.finished_from = time("--finished-from", words.finished_from);
  filter.finished_until = time("--finished-until", words.finished_until);
  filter.dead_from = time("--dead-from", words.dead_from);
  filter.dead_until = time("--dead-until", words.dead_until);
  return filter;
}

}  // namespace millrace::cli
