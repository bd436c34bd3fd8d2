// Filters, counts, and changes of one task or of many.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <millrace/manage.hpp>

#include "postgres/connection.hpp"

namespace millrace::engine {

/// The filter as the SQL functions take it, without limit and before. Throws InvalidArgument for what is out of range.
[[nodiscard]] std::string filter_json(const TaskFilter& filter);
/// The same for everything but lists, which alone have pages.
[[nodiscard]] std::string whole_filter_json(const TaskFilter& filter);

/// What is to be done to tasks: `priority` is for reprioritise, `run_at` for reschedule.
struct Change {
  Action action{};
  std::optional<Priority> priority{};
  std::optional<Time> run_at{};
};

struct Batch {
  Changes changes{};
  std::optional<std::int64_t> next{};  ///< Where the next batch begins; none at the end.
};

std::vector<TaskCount> count_tasks(postgres::Connection& connection, const std::string& schema, const TaskFilter& filter);
std::int64_t queue_depth(postgres::Connection& connection, const std::string& schema, const std::string& queue);

/// reprioritise, reschedule and run_now of one task; the others have functions of their own.
Status move_task(postgres::Connection& connection, const std::string& schema, TaskId id, const Change& change);
void delete_task(postgres::Connection& connection, const std::string& schema, TaskId id);

std::vector<PlanRow> plan_change(postgres::Connection& connection, const std::string& schema, Action action, const TaskFilter& filter);
/// One batch of the tasks with ids above `after`. Throws DatabaseError 55P03 or 40P01 if it met with another such change.
Batch change_batch(postgres::Connection& connection, const std::string& schema, const Change& change, const std::string& filter,
                   std::int64_t after);
/// Runs batches to the end; one that met with another change is repeated, a few times.
Changes change_all(const std::function<Batch(std::int64_t after)>& run_batch, const OnChanges& on_changes);

void set_dead_queue(postgres::Connection& connection, const std::string& schema, const std::string& queue,
                    const std::optional<std::string>& target);
void set_dead_queue_of_kind(postgres::Connection& connection, const std::string& schema, const std::string& kind,
                            const std::optional<std::string>& target);
std::vector<DeadQueue> dead_queues(postgres::Connection& connection, const std::string& schema);

}  // namespace millrace::engine
