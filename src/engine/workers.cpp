#include "base/text.hpp"
#include "engine/tasks.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace millrace::engine {

std::vector<WorkerRecord> list_workers(postgres::Connection& connection, const std::string& schema) {
  const auto rows =
      connection.run(fmt::format("SELECT id, name, host, pid, version, to_jsonb(queues), state, wish, running, completed, failed,"
                                 " started_at, seen_at, alive, to_jsonb(kinds) FROM {}.live_workers ORDER BY started_at, id",
                                 base::quote_identifier(schema)));
  std::vector<WorkerRecord> all;
  all.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    WorkerRecord one;
    one.id = rows.text(row, 0);
    one.name = rows.text(row, 1);
    one.host = rows.text(row, 2);
    one.pid = static_cast<int>(rows.integer(row, 3));
    one.version = rows.text(row, 4);
    one.queues = nlohmann::json::parse(rows.text(row, 5)).get<std::vector<std::string>>();
    one.state = rows.text(row, 6);
    one.wish = rows.text(row, 7);
    one.running = rows.integer(row, 8);
    one.completed = rows.integer(row, 9);
    one.failed = rows.integer(row, 10);
    one.started_at = rows.time(row, 11).value_or(Time{});
    one.seen_at = rows.time(row, 12).value_or(Time{});
    one.alive = rows.boolean(row, 13);
    if (!rows.is_null(row, 14)) one.kinds = nlohmann::json::parse(rows.text(row, 14)).get<std::vector<std::string>>();
    all.push_back(std::move(one));
  }
  return all;
}

std::string order_worker(postgres::Connection& connection, const std::string& schema, const char* function, const std::string& worker) {
  base::check_name("worker", worker, 256);
  return std::string(
      connection.run(fmt::format("SELECT {}.{}($1)", base::quote_identifier(schema), function), postgres::Params().text(worker))
          .text(0, 0));
}

}  // namespace millrace::engine
