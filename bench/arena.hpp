// Where a benchmark takes place: a schema of its own, filled alike for every contestant.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <string>
#include <vector>

#include <millrace/types.hpp>

#include "postgres/connection.hpp"

namespace millrace::bench {

using Link = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Rows = std::unique_ptr<PGresult, decltype(&PQclear)>;

/// A plain libpq connection, as the ceilings use it. Throws ConnectionError.
[[nodiscard]] Link dial(const ConnectionString& database);
/// Runs statements and throws DatabaseError unless they succeed.
Rows execute(PGconn* link, const std::string& sql);

/// A schema that lives as long as the benchmark; dropped also when it fails or is interrupted.
class Arena {
 public:
  explicit Arena(ConnectionString database);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  Arena(Arena&&) = delete;
  Arena& operator=(Arena&&) = delete;

  [[nodiscard]] const ConnectionString& database() const noexcept { return database_; }
  [[nodiscard]] const std::string& schema() const noexcept { return schema_; }
  [[nodiscard]] postgres::Connection& link() noexcept { return *link_; }
  /// Empties the tables and enqueues `tasks` no-op tasks with args of about `args_bytes`; then VACUUM ANALYZE and CHECKPOINT.
  void fill(int tasks, int args_bytes = 50);
  void clear();
  [[nodiscard]] std::int64_t number(const std::string& sql);

 private:
  ConnectionString database_;
  std::string schema_;
  std::unique_ptr<postgres::Connection> link_;
};

/// The median of some figures; they need not be sorted.
[[nodiscard]] double median(std::vector<double> figures);
[[nodiscard]] double percentile(std::vector<double> figures, double part);

/// Throws if the user pressed Ctrl-C, so that the arena is torn down.
void check_interrupted();

}  // namespace millrace::bench
