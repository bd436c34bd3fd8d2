#include "cli/enqueue_options.hpp"

#include "base/text.hpp"
#include "base/time_text.hpp"
#include "cli/duration.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>

namespace millrace::cli {
namespace {

std::optional<Time> time_of(const char* option, const std::optional<std::string>& text) {
  if (!text) return {};
  const auto time = base::parse_time(*text);
  if (!time) throw InvalidArgument(option, fmt::format("is \"{}\"; allowed are times such as 2026-12-24T18:00:00Z", *text));
  return time;
}

std::optional<Milliseconds> duration_of(const char* option, const std::optional<std::string>& text) {
  if (!text) return {};
  return parse_duration(option, *text);
}

std::optional<std::string> from_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return {};
  return value;
}

// The names between the commas; none means all args.
std::vector<std::string> fields_of(const std::vector<std::string>& texts) {
  std::vector<std::string> fields;
  for (const std::string& text : texts) {
    // The option takes the next word if it can.
    if (text.starts_with('{'))
      throw InvalidArgument("--unique", "is followed by the args; write them before it, or fields as --unique=user,day");
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t comma = std::min(text.find(',', begin), text.size());
      fields.push_back(text.substr(begin, comma - begin));
      begin = comma + 1;
    }
  }
  return fields;
}

}  // namespace

void add_enqueue_options(CLI::App& command, EnqueueWords& words) {
  command.add_option("--queue", words.queue, "Its queue; default: default");
  command.add_option("--priority", words.priority, "0 to 100, or critical, high, normal, low; default: normal");
  command.add_option("--delay", words.delay, "Not before so long from now, such as 5m")->type_name("DURATION");
  command.add_option("--at", words.at, "Not before this time, such as 2026-12-24T18:00:00Z")->type_name("TIME");
  command.add_option("--max-attempts", words.max_attempts, "Runs before it becomes a dead letter; 1 to 1000, default 5")->type_name("INT");
  command.add_option("--timeout", words.timeout, "Longest run of one attempt, such as 30s")->type_name("DURATION");
  command.add_option("--retry", words.retry, "exponential(1s,60s), linear(1s,60s) or fixed(5s)")->type_name("POLICY");
  const char* about = "About it";
  command.add_option("--expires-in", words.expires_in, "Cancel it if it has not started so long from now")
      ->type_name("DURATION")
      ->group(about);
  command.add_option("--expires-at", words.expires_at, "Cancel it if it has not started by then")->type_name("TIME")->group(about);
  command.add_option("--tag", words.tags, "To find it by; may be repeated")->allow_extra_args(false)->group(about);
  command.add_option("--tenant", words.tenant, "The customer or user that it is for")->group(about);
  command.add_option("--correlation", words.correlation, "What it belongs to; default: MILLRACE_CORRELATION_ID")->group(about);
  command.add_option("--traceparent", words.traceparent, "W3C trace context; default: TRACEPARENT")->group(about);
  command.add_option("--meta", words.metadata, "NAME=TEXT for its handler; may be repeated")
      ->allow_extra_args(false)
      ->type_name("K=V")
      ->group(about);
  const char* keys = "Keys: whether there is such a task already";
  command.add_option("--key", words.key, "Idempotency key: the same kind and key make one task")->group(keys);
  command.add_option("--key-for", words.key_for, "For so long, also after it ended; default 24h")->type_name("DURATION")->group(keys);
  command.add_option("--unique", words.unique, "One live task with these args, or with these fields of them: --unique=user,day")
      ->type_name("[FIELDS]")
      ->expected(0, 1)
      ->group(keys);
  command.add_option("--unique-key", words.unique_key, "The same by a text instead of args")->group(keys);
  command.add_option("--unique-for", words.unique_for, "Not only while it is live, but also for so long")
      ->type_name("DURATION")
      ->group(keys);
  command.add_option("--throttle", words.throttle, "Only the first of these within so long")->type_name("DURATION")->group(keys);
  command.add_option("--debounce", words.debounce, "Run it so long after the latest of these, with that one's args")
      ->type_name("DURATION")
      ->group(keys);
  command.add_option("--debounce-max", words.debounce_max, "But not later than so long after the first; default: ten times as long")
      ->type_name("DURATION")
      ->group(keys);
  command.add_flag("--replace", words.replace, "Give the task that is there these args and options, if it has not started")->group(keys);
}

EnqueueOptions options_of(const CLI::App& command, const EnqueueWords& words) {
  EnqueueOptions options;
  options.queue = words.queue;
  if (words.priority) options.priority = parse_priority(*words.priority);
  options.delay = duration_of("--delay", words.delay);
  options.run_at = time_of("--at", words.at);
  options.timeout = duration_of("--timeout", words.timeout);
  if (words.retry) options.backoff = parse_backoff(*words.retry);
  if (words.max_attempts) options.max_attempts = parse_int("--max-attempts", *words.max_attempts, 1, limits::attempts_max);

  options.expires_in = duration_of("--expires-in", words.expires_in);
  options.expires_at = time_of("--expires-at", words.expires_at);
  options.tags = words.tags;
  options.tenant = words.tenant;
  options.correlation = words.correlation ? words.correlation : from_environment("MILLRACE_CORRELATION_ID");
  options.traceparent = words.traceparent;
  // As the standard has it, one that is malformed is as good as none; one that was typed here is not.
  if (const auto trace = from_environment("TRACEPARENT"); !options.traceparent && trace && base::is_traceparent(*trace))
    options.traceparent = trace;
  for (const std::string& one : words.metadata) {
    const std::size_t equals = one.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw InvalidArgument("--meta", fmt::format("is \"{}\"; allowed is NAME=TEXT", one));
    }
    if (!options.metadata.emplace(one.substr(0, equals), one.substr(equals + 1)).second) {
      throw InvalidArgument("--meta", fmt::format("names \"{}\" twice", one.substr(0, equals)));
    }
  }

  options.key = words.key;
  options.key_for = duration_of("--key-for", words.key_for);
  if (command.count("--unique") > 0) {
    options.unique_by = fields_of(words.unique);
  }
  options.unique_key = words.unique_key;
  options.unique_for = duration_of("--unique-for", words.unique_for);
  options.throttle = duration_of("--throttle", words.throttle);
  options.debounce = duration_of("--debounce", words.debounce);
  options.debounce_max = duration_of("--debounce-max", words.debounce_max);
  options.replace = words.replace;
  return options;
}

}  // namespace millrace::cli
