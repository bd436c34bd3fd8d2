#include "engine/tasks.hpp"

#include "base/text.hpp"
#include "base/time_text.hpp"
#include "engine/manage.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace millrace::engine {
namespace {

constexpr const char* columns =
    "t.id, t.kind, t.queue, t.status, t.priority, t.attempt, t.max_attempts, t.run_at, t.created_at, t.started_at, t.finished_at, "
    "t.dead_at,"
    " t.lease, t.worker, (extract(epoch FROM t.timeout) * 1000)::bigint, t.backoff, t.args, t.result, t.errors,"
    " t.expires_at, t.reason, t.correlation, t.tenant, to_jsonb(t.tags), t.metadata, t.traceparent,"
    " t.forwarded_to, t.forwarded_from";

std::vector<TaskError> errors_of(std::string_view text) {
  std::vector<TaskError> errors;
  if (text.empty()) return errors;
  for (const auto& one : nlohmann::json::parse(text)) {
    errors.push_back({.attempt = one.value("attempt", 0),
                      .at = base::parse_time(one.value("at", "")).value_or(Time{}),
                      .worker = one.contains("worker") && one["worker"].is_string() ? one["worker"].get<std::string>() : "",
                      .message = one.value("message", "")});
  }
  return errors;
}

TaskRecord record_of(const postgres::Result& rows, int row) {
  TaskRecord task;
  task.id = {rows.integer(row, 0)};
  task.kind = rows.text(row, 1);
  task.queue = rows.text(row, 2);
  task.status = status_from(rows.text(row, 3));
  task.priority = Priority(static_cast<int>(rows.integer(row, 4)));
  task.attempt = static_cast<int>(rows.integer(row, 5));
  task.max_attempts = static_cast<int>(rows.integer(row, 6));
  task.run_at = rows.time(row, 7).value_or(Time{});
  task.created_at = rows.time(row, 8).value_or(Time{});
  task.started_at = rows.time(row, 9);
  task.finished_at = rows.time(row, 10);
  task.dead_at = rows.time(row, 11);
  if (!rows.is_null(row, 12)) task.lease = LeaseId{rows.integer(row, 12)};
  task.worker = rows.maybe_text(row, 13);
  if (!rows.is_null(row, 14)) task.timeout = Milliseconds(rows.integer(row, 14));
  task.backoff = rows.maybe_text(row, 15);
  task.args = rows.text(row, 16);
  task.result = rows.maybe_text(row, 17);
  task.errors = errors_of(rows.text(row, 18));
  task.expires_at = rows.time(row, 19);
  task.reason = rows.maybe_text(row, 20);
  task.correlation = rows.maybe_text(row, 21);
  task.tenant = rows.maybe_text(row, 22);
  if (!rows.is_null(row, 23)) task.tags = nlohmann::json::parse(rows.text(row, 23)).get<std::vector<std::string>>();
  if (!rows.is_null(row, 24)) task.metadata = nlohmann::json::parse(rows.text(row, 24)).get<std::map<std::string, std::string>>();
  task.traceparent = rows.maybe_text(row, 25);
  if (!rows.is_null(row, 26)) task.forwarded_to = TaskId{rows.integer(row, 26)};
  if (!rows.is_null(row, 27)) task.forwarded_from = TaskId{rows.integer(row, 27)};
  return task;
}

Status status_after(postgres::Connection& connection, const std::string& schema, const char* function, TaskId id) {
  const auto rows =
      connection.run(fmt::format("SELECT {}.{}($1)", base::quote_identifier(schema), function), postgres::Params().integer(id.value));
  return status_from(rows.text(0, 0));
}

}  // namespace

std::optional<TaskRecord> get_task(postgres::Connection& connection, const std::string& schema, TaskId id) {
  const auto rows = connection.run(fmt::format("SELECT {} FROM {}.tasks t WHERE t.id = $1", columns, base::quote_identifier(schema)),
                                   postgres::Params().integer(id.value));
  if (rows.size() == 0) return {};
  return record_of(rows, 0);
}

std::optional<Status> get_status(postgres::Connection& connection, const std::string& schema, TaskId id) {
  const auto rows = connection.run(fmt::format("SELECT status FROM {}.tasks WHERE id = $1", base::quote_identifier(schema)),
                                   postgres::Params().integer(id.value));
  if (rows.size() == 0) return {};
  return status_from(rows.text(0, 0));
}

std::vector<TaskRecord> list_tasks(postgres::Connection& connection, const std::string& schema, const TaskFilter& filter) {
  const int limit = filter.limit.value_or(50);
  if (limit < 1 || limit > 1000) throw InvalidArgument("limit", fmt::format("is {}; allowed is 1 to 1000", limit));
  postgres::Params params;
  params.text(filter_json(filter)).integer(limit);
  if (filter.before)
    params.integer(filter.before->value);
  else
    params.null();
  const auto rows =
      connection.run(fmt::format("SELECT {} FROM {}.list_tasks($1::jsonb, $2, $3) t", columns, base::quote_identifier(schema)), params);
  std::vector<TaskRecord> tasks;
  tasks.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) tasks.push_back(record_of(rows, row));
  return tasks;
}

Status cancel_task(postgres::Connection& connection, const std::string& schema, TaskId id) {
  return status_after(connection, schema, "cancel", id);
}
Status retry_task(postgres::Connection& connection, const std::string& schema, TaskId id) {
  return status_after(connection, schema, "retry", id);
}

std::vector<QueueStats> queue_stats(postgres::Connection& connection, const std::string& schema) {
  const auto rows = connection.run(
      fmt::format("SELECT queue, ready, upcoming, running, failed, (extract(epoch FROM oldest_ready) * 1000)::bigint, completed_last_hour,"
                  " retried_last_hour, failed_last_hour, workers FROM {}.stats()",
                  base::quote_identifier(schema)));
  std::vector<QueueStats> all;
  for (int row = 0; row < rows.size(); ++row) {
    QueueStats one{.queue = std::string(rows.text(row, 0)),
                   .ready = rows.integer(row, 1),
                   .upcoming = rows.integer(row, 2),
                   .running = rows.integer(row, 3),
                   .failed = rows.integer(row, 4),
                   .completed_last_hour = rows.integer(row, 6),
                   .retried_last_hour = rows.integer(row, 7),
                   .failed_last_hour = rows.integer(row, 8),
                   .workers = rows.integer(row, 9)};
    if (!rows.is_null(row, 5)) one.oldest_ready = Milliseconds(rows.integer(row, 5));
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace millrace::engine
