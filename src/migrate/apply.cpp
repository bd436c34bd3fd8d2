#include "migrate/apply.hpp"

#include "base/fault.hpp"
#include "migrate/ledger.hpp"
#include "migrate/sql_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace millrace::migrate {
namespace {

using namespace std::chrono_literals;

constexpr int attempts_max = 24;
// Whoever queued up behind our own lock request gets through before the next attempt.
constexpr auto pause_between_attempts = 100ms;
constexpr auto lock_poll_interval = 50ms;

bool is_repeatable(const DatabaseError& error) { return error.sqlstate() == "55P03" || error.sqlstate() == "40P01"; }

// The file writes and removes its own row, so that plain psql does the same as this runner.
void record(postgres::Connection& connection, const std::string& schema, const Migration& migration, Direction direction) {
  if (direction == Direction::up) {
    if (write_checksum(connection, schema, migration)) return;
    throw InvalidArgument("migrations", fmt::format("hold {}, whose up does not insert its row into migrations", title(migration)));
  }
  const auto rows = read_ledger(connection, schema);
  if (rows && std::any_of(rows->begin(), rows->end(), [&](const LedgerRow& row) { return row.version == migration.version; })) {
    throw InvalidArgument("migrations", fmt::format("hold {}, whose down does not delete its row from migrations", title(migration)));
  }
}

void run_in_transaction(postgres::Connection& connection, const std::string& schema, const Migration& migration, Direction direction) {
  postgres::Connection::Scope scope(connection, "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = 0");
  connection.script(fill_schema(direction == Direction::up ? migration.up : migration.down, schema));
  record(connection, schema, migration, direction);
  base::fault_point("migrate.before_commit");
  scope.commit();
}

// What runs outside a transaction waits by its nature (CREATE INDEX CONCURRENTLY for older transactions) and holds up
// nobody meanwhile, so it gets no lock_timeout.
void run_statements(postgres::Connection& connection, const std::string& schema, const Migration& migration, Direction direction) {
  connection.script("SET lock_timeout = 0");
  connection.script("SET statement_timeout = 0");
  for (const std::string& statement : statements(fill_schema(direction == Direction::up ? migration.up : migration.down, schema))) {
    connection.script(statement);
    base::fault_point("migrate.between_statements");
  }
  connection.script("RESET search_path");
  record(connection, schema, migration, direction);
}

}  // namespace

void apply(postgres::Connection& connection, const std::string& schema, const Migration& migration, Direction direction,
           const std::function<void()>& on_retry) {
  for (int attempt = 1;; ++attempt) {
    try {
      if (migration.transactional) return run_in_transaction(connection, schema, migration, direction);
      return run_statements(connection, schema, migration, direction);
    } catch (const DatabaseError& error) {
      if (!is_repeatable(error) || attempt == attempts_max) {
        throw DatabaseError(
            fmt::format("{}migration {} failed: {}{}", direction == Direction::up ? "" : "reverting ", title(migration), error.what(),
                        migration.transactional ? "" : " (it is non-transactional: mend the cause and repeat)"),
            error.sqlstate());
      }
    }
    on_retry();
    std::this_thread::sleep_for(pause_between_attempts);
  }
}

namespace {
constexpr const char* lock_key = "(pg_catalog.hashtextextended('millrace migrate ' || $1, 0))";
}

MigrationLock::MigrationLock(postgres::Connection& connection, const std::string& schema, const std::function<void()>& on_wait)
    : connection_(connection), schema_(schema) {
  const std::string sql = fmt::format("SELECT pg_catalog.pg_try_advisory_lock{}", lock_key);
  for (bool told = false; !connection.run(sql, postgres::Params().text(schema)).boolean(0, 0);) {
    if (!told) on_wait();
    told = true;
    std::this_thread::sleep_for(lock_poll_interval);
  }
}

MigrationLock::~MigrationLock() {
  try {
    if (connection_.broken()) return;
    connection_.run(fmt::format("SELECT pg_catalog.pg_advisory_unlock{}", lock_key), postgres::Params().text(schema_));
  } catch (const std::exception&) {
    // The server frees the lock itself as the session ends.
    return;
  }
}

}  // namespace millrace::migrate
