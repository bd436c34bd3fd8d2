// A private, migrated PostgreSQL database in one line.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <millrace/client.hpp>
#include <millrace/testing/clock.hpp>
#include <millrace/types.hpp>
#include <millrace/worker.hpp>

namespace millrace::testing {

struct DatabaseOptions {
  std::string schema = "millrace";  ///< 1 to 63 bytes.
  /// A server to make the database on, by a role that may create databases. Default: the environment variable MILLRACE_TESTING_SERVER;
  /// if that is not set either, a private cluster is made from the PostgreSQL that is installed here, as `millrace dev` does.
  ConnectionString server{};
};

/// A database of its own, with the queue's schema. The first one of a process starts the private cluster (a second or two), which the
/// others share; each later one is a copy of a migrated database (tens of milliseconds). The database is dropped by the destructor, the
/// cluster when the process ends, also if it is killed. The private cluster does not survive a crash of the machine: fsync is off.
/// Thread-safe, but for reset() and the destructor. Every call may throw ConnectionError or DatabaseError.
class Database {
 public:
  /// Throws Error if there is no PostgreSQL to start, InvalidArgument("schema").
  explicit Database(const DatabaseOptions& options = {});
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  Database(Database&&) = delete;
  Database& operator=(Database&&) = delete;

  /// Its address, for pqxx::connection and everything else that takes libpq's.
  [[nodiscard]] const std::string& url() const noexcept;
  [[nodiscard]] const std::string& schema() const noexcept;
  /// A client of this database, made at the first call.
  [[nodiscard]] Client& client();
  /// The time in this database.
  [[nodiscard]] Clock& clock() noexcept;
  /// Options for a worker of this database: quick to look, silent, `threads` (1 to 1000) for the queue "default". If a handler does not
  /// end, its stop() returns false instead of leaving the process.
  [[nodiscard]] WorkerOptions worker_options(int threads = 4) const;

  /// Runs SQL statements, in one transaction; names are looked for in the queue's schema and in public, new tables go to public.
  void exec(const std::string& sql);
  /// The first field that one statement returns; empty for null and for no row.
  std::string value(const std::string& sql);
  /// All rows that one statement returns, as text; null is empty.
  std::vector<std::vector<std::string>> rows(const std::string& sql);

  /// When the next task or tick is due, whether that is past or to come; none if nothing waits. `db.clock().set(*db.next_due())`.
  [[nodiscard]] std::optional<Time> next_due();

  /// As new: no tasks, schedules, workers or settings, ids from 1 on, the real time. Of your own tables those in `tables` (as SQL spells
  /// them), and those that refer to the queue's, are emptied too; the others stay as they are. Milliseconds; for the beginning of a test
  /// case. Throws StateError if a worker is connected, or if a transaction holds on to a table for 10 seconds.
  void reset(const std::vector<std::string>& tables = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::testing
