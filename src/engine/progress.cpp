#include "engine/progress.hpp"

#include "base/text.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>

namespace millrace::engine {

std::optional<Progress> get_progress(postgres::Connection& connection, const std::string& schema, TaskId id) {
  const auto rows = connection.run(
      fmt::format("SELECT done, total, note, attempt, reported_at FROM {}.task_progress WHERE task = $1", base::quote_identifier(schema)),
      postgres::Params().integer(id.value));
  if (rows.size() == 0) return {};
  return Progress{.done = rows.integer(0, 0),
                  .total = rows.integer(0, 1),
                  .note = std::string(rows.text(0, 2)),
                  .attempt = static_cast<int>(rows.integer(0, 3)),
                  .at = rows.time(0, 4).value_or(Time{})};
}

std::vector<LogLine> get_logs(postgres::Connection& connection, const std::string& schema, TaskId id, std::int64_t after, int limit) {
  if (limit < 1 || limit > limits::log_lines_kept)
    throw InvalidArgument("limit", fmt::format("is {}; allowed is 1 to {}", limit, limits::log_lines_kept));
  const auto rows = connection.run(
      fmt::format("SELECT seq, attempt, at, line FROM {}.task_logs WHERE task = $1 AND seq > $2 ORDER BY seq LIMIT $3::integer",
                  base::quote_identifier(schema)),
      postgres::Params().integer(id.value).integer(after).integer(limit));
  std::vector<LogLine> lines;
  lines.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    lines.push_back({.seq = rows.integer(row, 0),
                     .attempt = static_cast<int>(rows.integer(row, 1)),
                     .at = rows.time(row, 2).value_or(Time{}),
                     .text = std::string(rows.text(row, 3))});
  }
  return lines;
}

}  // namespace millrace::engine
