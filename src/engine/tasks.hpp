// Reading tasks, and what people do to them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <millrace/client.hpp>

#include "postgres/connection.hpp"

namespace millrace::engine {

std::optional<TaskRecord> get_task(postgres::Connection& connection, const std::string& schema, TaskId id);
std::optional<Status> get_status(postgres::Connection& connection, const std::string& schema, TaskId id);
std::vector<TaskRecord> list_tasks(postgres::Connection& connection, const std::string& schema, const TaskFilter& filter);
Status cancel_task(postgres::Connection& connection, const std::string& schema, TaskId id);
Status retry_task(postgres::Connection& connection, const std::string& schema, TaskId id);
std::vector<WorkerRecord> list_workers(postgres::Connection& connection, const std::string& schema);
/// `function` is pause_worker, resume_worker or stop_worker; returns the worker's id.
std::string order_worker(postgres::Connection& connection, const std::string& schema, const char* function, const std::string& worker);
std::vector<QueueStats> queue_stats(postgres::Connection& connection, const std::string& schema);

}  // namespace millrace::engine
