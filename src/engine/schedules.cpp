#include "engine/schedules.hpp"

#include "base/json_text.hpp"
#include "base/text.hpp"
#include "base/time_text.hpp"
#include "engine/keys.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace millrace::engine {
namespace {

std::string interval(Milliseconds duration) { return fmt::format("{} milliseconds", duration.count()); }

template <class Value, class Format>
std::optional<std::string> text_of(const std::optional<Value>& value, const Format& format) {
  if (!value) return {};
  return format(*value);
}

constexpr const char* columns =
    "name, rule, kind, args, zone, gap, fold, misfire, misfire_max, (extract(epoch FROM grace) * 1000)::bigint,"
    " (extract(epoch FROM jitter) * 1000)::bigint, exclusive, anchor, d.queue, d.priority, d.max_attempts,"
    " (extract(epoch FROM d.timeout) * 1000)::bigint, d.backoff, paused, next_tick, next_at, owed_tick, last_tick, last_task, problem, "
    "to_jsonb(tags)";

ScheduleRecord record_of(const postgres::Result& rows, int row) {
  ScheduleRecord one;
  one.name = rows.text(row, 0);
  one.rule = rows.text(row, 1);
  one.kind = rows.text(row, 2);
  one.args = rows.text(row, 3);
  one.zone = rows.text(row, 4);
  one.gap = named<Gap>("gap", gaps, rows.text(row, 5));
  one.fold = named<Fold>("fold", folds, rows.text(row, 6));
  one.misfire = named<Misfire>("misfire", misfires, rows.text(row, 7));
  one.misfire_max = static_cast<int>(rows.integer(row, 8));
  one.grace = Milliseconds(rows.integer(row, 9));
  one.jitter = Milliseconds(rows.integer(row, 10));
  one.exclusive = named<Exclusive>("exclusive", exclusives, rows.text(row, 11));
  one.anchor = rows.time(row, 12).value_or(Time{});
  one.queue = rows.text(row, 13);
  one.priority = Priority(static_cast<int>(rows.integer(row, 14)));
  one.max_attempts = static_cast<int>(rows.integer(row, 15));
  if (!rows.is_null(row, 16)) one.timeout = Milliseconds(rows.integer(row, 16));
  one.backoff = rows.maybe_text(row, 17);
  one.paused = rows.boolean(row, 18);
  one.next_tick = rows.time(row, 19);
  one.next_at = rows.time(row, 20);
  one.owed_tick = rows.time(row, 21);
  one.last_tick = rows.time(row, 22);
  if (!rows.is_null(row, 23)) one.last_task = TaskId{rows.integer(row, 23)};
  one.problem = rows.maybe_text(row, 24);
  if (!rows.is_null(row, 25)) one.tags = nlohmann::json::parse(rows.text(row, 25)).get<std::vector<std::string>>();
  return one;
}

postgres::Result call(postgres::Connection& connection, const std::string& schema, const char* function, const std::string& name) {
  base::check_name("name", name, limits::schedule_bytes_max);
  return connection.run(fmt::format("SELECT {}.{}($1)", base::quote_identifier(schema), function), postgres::Params().text(name));
}

std::vector<TickRecord> ticks_of(const postgres::Result& rows) {
  std::vector<TickRecord> ticks;
  ticks.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    ticks.push_back({.at = rows.time(row, 0), .local = std::string(rows.text(row, 1)), .note = std::string(rows.text(row, 2))});
  }
  return ticks;
}

void check_count(int count) {
  if (count < 1 || count > 1000) throw InvalidArgument("count", fmt::format("is {}; allowed is 1 to 1000", count));
}

}  // namespace

Put put_schedule(const Run& run, std::string_view name, std::string_view rule, std::string_view kind, std::string_view args,
                 const ScheduleOptions& options) {
  base::check_schema_name(options.task.schema);
  refuse_keys(options.task, "schedules");
  check_about(options.task);
  EnqueueOptions untagged = options.task;
  untagged.tags.clear();
  refuse_about(untagged, "schedules");
  base::check_name("name", name, limits::schedule_bytes_max);
  base::check_name("rule", rule, limits::rule_bytes_max);
  base::check_name("kind", kind, limits::kind_bytes_max);
  base::check_name("zone", options.zone, limits::rule_bytes_max);
  base::check_json("args", args, true);
  const EnqueueOptions& task = options.task;
  const auto rows =
      run(fmt::format("SELECT {}.put_schedule($1, $2, $3, $4::jsonb, $5, $6, $7, $8, $9::integer, $10::interval, $11::interval,"
                      " $12, $13::timestamptz, $14, $15::integer, $16::integer, $17::jsonb, $18::interval, $19::text[])",
                      base::quote_identifier(task.schema)),
          postgres::Params()
              .text(std::string(name))
              .text(std::string(rule))
              .text(std::string(kind))
              .text(std::string(args))
              .text(options.zone)
              .text(std::string(to_string(options.gap)))
              .text(std::string(to_string(options.fold)))
              .text(std::string(to_string(options.misfire)))
              .integer(options.misfire_max)
              .text(interval(options.grace))
              .text(interval(options.jitter))
              .text(std::string(to_string(options.exclusive)))
              .maybe(text_of(options.anchor, base::format_time))
              .maybe(task.queue)
              .maybe(text_of(task.priority, [](Priority priority) { return std::to_string(priority.value()); }))
              .maybe(text_of(task.max_attempts, [](int attempts) { return std::to_string(attempts); }))
              .maybe(text_of(task.backoff, backoff_json))
              .maybe(text_of(task.timeout, interval))
              .maybe(tags_text(task)));
  const std::string_view answer = rows.text(0, 0);
  return answer == "created" ? Put::created : answer == "changed" ? Put::changed : Put::unchanged;
}

std::vector<ScheduleRecord> list_schedules(postgres::Connection& connection, const std::string& schema,
                                           const std::optional<std::string>& name) {
  const auto rows = connection.run(
      fmt::format("SELECT {0} FROM {1}.schedules s CROSS JOIN LATERAL {1}.with_defaults(s.kind, s.queue, s.priority, s.max_attempts,"
                  " s.backoff, s.timeout) d WHERE $1::text IS NULL OR s.name = $1 ORDER BY name",
                  columns, base::quote_identifier(schema)),
      postgres::Params().maybe(name));
  std::vector<ScheduleRecord> all;
  all.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) all.push_back(record_of(rows, row));
  return all;
}

void pause_schedule(postgres::Connection& connection, const std::string& schema, const std::string& name) {
  call(connection, schema, "pause_schedule", name);
}

std::optional<Time> resume_schedule(postgres::Connection& connection, const std::string& schema, const std::string& name) {
  return call(connection, schema, "resume_schedule", name).time(0, 0);
}

void delete_schedule(postgres::Connection& connection, const std::string& schema, const std::string& name) {
  call(connection, schema, "delete_schedule", name);
}

TaskId run_schedule(postgres::Connection& connection, const std::string& schema, const std::string& name) {
  return {call(connection, schema, "run_schedule", name).integer(0, 0)};
}

std::vector<PastTick> past_ticks(postgres::Connection& connection, const std::string& schema, const std::string& name, int count) {
  check_count(count);
  const auto rows = connection.run(
      fmt::format("SELECT k.tick, k.outcome, k.task, k.fired_at FROM {0}.schedules s JOIN {0}.schedule_ticks k ON k.schedule = s.id"
                  " WHERE s.name = $1 ORDER BY k.tick DESC LIMIT $2",
                  base::quote_identifier(schema)),
      postgres::Params().text(name).integer(count));
  std::vector<PastTick> ticks;
  ticks.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    PastTick one;
    one.tick = rows.time(row, 0).value_or(Time{});
    one.outcome = named<TickOutcome>("outcome", tick_outcomes, rows.text(row, 1));
    if (!rows.is_null(row, 2)) one.task = TaskId{rows.integer(row, 2)};
    one.fired_at = rows.time(row, 3).value_or(Time{});
    ticks.push_back(one);
  }
  return ticks;
}

std::vector<TickRecord> preview_rule(postgres::Connection& connection, const std::string& rule, const ScheduleOptions& options,
                                     std::optional<Time> from, int count) {
  check_count(count);
  base::check_name("rule", rule, limits::rule_bytes_max);
  base::check_name("zone", options.zone, limits::rule_bytes_max);
  return ticks_of(connection.run(
      fmt::format("SELECT tick, local, note FROM {0}.preview_ticks($1, $2, coalesce($3::timestamptz, {0}.clock()), $4::integer, $5, $6,"
                  " $7::timestamptz)",
                  base::quote_identifier(options.task.schema)),
      postgres::Params()
          .text(rule)
          .text(options.zone)
          .maybe(text_of(from, base::format_time))
          .integer(count)
          .text(std::string(to_string(options.gap)))
          .text(std::string(to_string(options.fold)))
          .maybe(text_of(options.anchor, base::format_time))));
}

std::vector<TickRecord> preview_schedule(postgres::Connection& connection, const std::string& schema, const std::string& name,
                                         std::optional<Time> from, int count) {
  check_count(count);
  if (list_schedules(connection, schema, name).empty()) throw NotFound(fmt::format("there is no schedule \"{}\"", name));
  return ticks_of(
      connection.run(fmt::format("SELECT p.tick, p.local, p.note FROM {0}.schedules s, LATERAL {0}.preview_ticks(s.rule, s.zone,"
                                 " coalesce($2::timestamptz, {0}.clock()), $3::integer, s.gap, s.fold, s.anchor) p WHERE s.name = $1",
                                 base::quote_identifier(schema)),
                     postgres::Params().text(name).maybe(text_of(from, base::format_time)).integer(count)));
}

}  // namespace millrace::engine

namespace millrace {

std::string_view to_string(Gap gap) noexcept { return engine::gaps[static_cast<std::size_t>(gap)]; }
std::string_view to_string(Fold fold) noexcept { return engine::folds[static_cast<std::size_t>(fold)]; }
std::string_view to_string(Misfire misfire) noexcept { return engine::misfires[static_cast<std::size_t>(misfire)]; }
std::string_view to_string(Exclusive exclusive) noexcept { return engine::exclusives[static_cast<std::size_t>(exclusive)]; }
std::string_view to_string(TickOutcome outcome) noexcept { return engine::tick_outcomes[static_cast<std::size_t>(outcome)]; }

Put put_schedule(pqxx::transaction_base& tx, std::string_view name, std::string_view rule, std::string_view kind, std::string_view args,
                 const ScheduleOptions& options) {
  return engine::put_schedule(engine::through(tx, options.task.schema), name, rule, kind, args, options);
}

}  // namespace millrace
