#include "engine/manage.hpp"

#include "base/text.hpp"
#include "base/time_text.hpp"

#include <millrace/error.hpp>
#include <millrace/limits.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace millrace::engine {
namespace {

using Json = nlohmann::ordered_json;

void check_time(const char* field, Time time) {
  using namespace std::chrono;
  if (time < Time{} || time >= Time{sys_days{year{10000} / 1 / 1}}) throw InvalidArgument(field, "is outside the years 1970 to 9999");
}

void put_name(Json& json, const char* field, const std::optional<std::string>& text, std::size_t bytes_max) {
  if (!text) return;
  base::check_name(field, *text, bytes_max);
  json[field] = *text;
}

void put_time(Json& json, const char* field, const std::optional<Time>& time) {
  if (!time) return;
  check_time(field, *time);
  json[field] = base::format_time(*time);
}

// The name that scope_of() knows.
const char* name_of(Action action) {
  switch (action) {
    case Action::cancel: return "cancel";
    case Action::retry: return "retry";
    case Action::reprioritise: return "reprioritise";
    case Action::reschedule: return "reschedule";
    case Action::run_now: return "run_now";
    case Action::remove: return "delete";
  }
  throw InvalidArgument("action", "is none");
}

// The SQL function that changes a batch.
const char* function_of(Action action) {
  switch (action) {
    case Action::cancel: return "cancel_tasks";
    case Action::retry: return "retry_tasks";
    case Action::reprioritise: return "reprioritise_tasks";
    case Action::reschedule: return "reschedule_tasks";
    case Action::run_now: return "run_tasks_now";
    case Action::remove: return "delete_tasks";
  }
  throw InvalidArgument("action", "is none");
}

// Adds what the action needs besides its tasks, as the function's second parameter; returns how it is passed.
const char* bind_value(postgres::Params& params, const Change& change) {
  if (change.action == Action::reprioritise) {
    params.integer(change.priority.value().value());
    return ", $2::integer";
  }
  if (change.action == Action::reschedule) {
    check_time("run_at", change.run_at.value());
    params.text(base::format_time(*change.run_at));
    return ", $2::timestamptz";
  }
  return "";
}

}  // namespace

std::string filter_json(const TaskFilter& filter) {
  Json json = Json::object();
  if (filter.ids) {
    if (filter.ids->empty() || filter.ids->size() > 10'000)
      throw InvalidArgument("ids", fmt::format("has {} elements; allowed are 1 to 10000", filter.ids->size()));
    Json& ids = json["ids"] = Json::array();
    for (const TaskId id : *filter.ids) ids.push_back(id.value);
  }
  for (const Status status : filter.status) json["status"].push_back(to_string(status));
  put_name(json, "queue", filter.queue, limits::queue_bytes_max);
  put_name(json, "kind", filter.kind, limits::kind_bytes_max);
  put_name(json, "correlation", filter.correlation, limits::correlation_bytes_max);
  put_name(json, "tenant", filter.tenant, limits::tenant_bytes_max);
  for (const std::string& tag : filter.tags) {
    base::check_name("tags", tag, limits::tag_bytes_max);
    json["tags"].push_back(tag);
  }
  put_time(json, "created_from", filter.created_from);
  put_time(json, "created_until", filter.created_until);
  put_time(json, "finished_from", filter.finished_from);
  put_time(json, "finished_until", filter.finished_until);
  put_time(json, "dead_from", filter.dead_from);
  put_time(json, "dead_until", filter.dead_until);
  return json.dump();
}

std::string whole_filter_json(const TaskFilter& filter) {
  if (filter.before) throw InvalidArgument("before", "is for pages of a list; leave it out");
  if (filter.limit) throw InvalidArgument("limit", "is for pages of a list; leave it out");
  return filter_json(filter);
}

std::vector<TaskCount> count_tasks(postgres::Connection& connection, const std::string& schema, const TaskFilter& filter) {
  const auto rows =
      connection.run(fmt::format("SELECT queue, kind, status, tasks FROM {}.count_tasks($1::jsonb)", base::quote_identifier(schema)),
                     postgres::Params().text(whole_filter_json(filter)));
  std::vector<TaskCount> counts;
  counts.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    counts.push_back({.queue = std::string(rows.text(row, 0)),
                      .kind = std::string(rows.text(row, 1)),
                      .status = status_from(rows.text(row, 2)),
                      .tasks = rows.integer(row, 3)});
  }
  return counts;
}

std::int64_t queue_depth(postgres::Connection& connection, const std::string& schema, const std::string& queue) {
  base::check_name("queue", queue, limits::queue_bytes_max);
  return connection.run(fmt::format("SELECT {}.depth($1)", base::quote_identifier(schema)), postgres::Params().text(queue)).integer(0, 0);
}

Status move_task(postgres::Connection& connection, const std::string& schema, TaskId id, const Change& change) {
  postgres::Params params;
  params.integer(id.value);
  const char* value = bind_value(params, change);
  const auto rows =
      connection.run(fmt::format("SELECT {}.{}($1{})", base::quote_identifier(schema), name_of(change.action), value), params);
  return status_from(rows.text(0, 0));
}

void delete_task(postgres::Connection& connection, const std::string& schema, TaskId id) {
  connection.run(fmt::format("SELECT {}.delete_task($1)", base::quote_identifier(schema)), postgres::Params().integer(id.value));
}

std::vector<PlanRow> plan_change(postgres::Connection& connection, const std::string& schema, Action action, const TaskFilter& filter) {
  const auto rows = connection.run(
      fmt::format("SELECT status, tasks, effect, to_jsonb(examples) FROM {}.plan_tasks($1, $2::jsonb)", base::quote_identifier(schema)),
      postgres::Params().text(name_of(action)).text(whole_filter_json(filter)));
  std::vector<PlanRow> plan;
  for (int row = 0; row < rows.size(); ++row) {
    PlanRow one{.status = status_from(rows.text(row, 0)), .tasks = rows.integer(row, 1), .effect = std::string(rows.text(row, 2))};
    for (const std::int64_t id : nlohmann::json::parse(rows.text(row, 3)).get<std::vector<std::int64_t>>()) one.examples.push_back({id});
    plan.push_back(std::move(one));
  }
  return plan;
}

Batch change_batch(postgres::Connection& connection, const std::string& schema, const Change& change, const std::string& filter,
                   std::int64_t after) {
  postgres::Params params;
  params.text(filter);
  const char* value = bind_value(params, change);
  params.integer(after);
  const auto rows = connection.run(fmt::format("SELECT done, asked, running, held, refused, next FROM {}.{}($1::jsonb{}, after => ${})",
                                               base::quote_identifier(schema), function_of(change.action), value, params.values().size()),
                                   params);
  Batch batch{.changes = {.done = rows.integer(0, 0),
                          .asked = rows.integer(0, 1),
                          .running = rows.integer(0, 2),
                          .held = rows.integer(0, 3),
                          .refused = rows.integer(0, 4)}};
  if (!rows.is_null(0, 5)) batch.next = rows.integer(0, 5);
  return batch;
}

Changes change_all(const std::function<Batch(std::int64_t after)>& run_batch, const OnChanges& on_changes) {
  constexpr int tries = 10;
  Changes total;
  std::optional<std::int64_t> after = 0;
  for (int tried = 0; after;) {
    Batch batch;
    try {
      batch = run_batch(*after);
    } catch (const DatabaseError& e) {
      // Another change of the same tasks: the batch was rolled back, and its lock_timeout is the pause before the next try.
      if ((e.sqlstate() != "55P03" && e.sqlstate() != "40P01") || ++tried == tries) throw;
      continue;
    }
    tried = 0;
    total.done += batch.changes.done;
    total.asked += batch.changes.asked;
    total.running += batch.changes.running;
    total.held += batch.changes.held;
    total.refused += batch.changes.refused;
    after = batch.next;
    if (on_changes) on_changes(total);
  }
  return total;
}

void set_dead_queue(postgres::Connection& connection, const std::string& schema, const std::string& queue,
                    const std::optional<std::string>& target) {
  base::check_name("queue", queue, limits::queue_bytes_max);
  if (target) base::check_name("target", *target, limits::queue_bytes_max);
  connection.run(fmt::format("SELECT {}.set_dead_queue($1, $2)", base::quote_identifier(schema)),
                 postgres::Params().text(queue).maybe(target));
}

void set_dead_queue_of_kind(postgres::Connection& connection, const std::string& schema, const std::string& kind,
                            const std::optional<std::string>& target) {
  base::check_name("kind", kind, limits::kind_bytes_max);
  if (target) base::check_name("target", *target, limits::queue_bytes_max);
  connection.run(fmt::format("SELECT {}.set_dead_queue_of_kind($1, $2)", base::quote_identifier(schema)),
                 postgres::Params().text(kind).maybe(target));
}

std::vector<DeadQueue> dead_queues(postgres::Connection& connection, const std::string& schema) {
  const auto rows =
      connection.run(fmt::format("SELECT queue, kind, target FROM {}.dead_queues ORDER BY kind, queue", base::quote_identifier(schema)));
  std::vector<DeadQueue> all;
  all.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row)
    all.push_back({.queue = rows.maybe_text(row, 0), .kind = rows.maybe_text(row, 1), .target = std::string(rows.text(row, 2))});
  return all;
}

}  // namespace millrace::engine
