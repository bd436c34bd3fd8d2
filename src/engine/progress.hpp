// What handlers said about their runs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <millrace/client.hpp>

#include "postgres/connection.hpp"

namespace millrace::engine {

std::optional<Progress> get_progress(postgres::Connection& connection, const std::string& schema, TaskId id);
std::vector<LogLine> get_logs(postgres::Connection& connection, const std::string& schema, TaskId id, std::int64_t after, int limit);

}  // namespace millrace::engine
