// Runs one migration, up or down, in the way that its kind needs.
#pragma once

#include <millrace/migrate.hpp>

#include <functional>
#include <string>

#include "postgres/connection.hpp"

namespace millrace::migrate {

enum class Direction : std::uint8_t { up, down };

/// Runs the migration in one transaction, or statement by statement if it is non-transactional, and records it. While
/// somebody holds a lock that it needs it gives way and tries again, calling `on_retry` each time, for about two
/// minutes. Throws DatabaseError naming the migration; then a transactional one has left nothing behind.
void apply(postgres::Connection& connection, const std::string& schema, const Migration& migration, Direction direction,
           const std::function<void()>& on_retry);

/// Holds the right to migrate one schema: a session's advisory lock, so it ends with the connection at the latest.
/// It is polled for and never waited on, because CREATE INDEX CONCURRENTLY waits for every transaction that waits.
class MigrationLock {
 public:
  /// Returns when the lock is held; calls `on_wait` once if another migrator has it.
  MigrationLock(postgres::Connection& connection, const std::string& schema, const std::function<void()>& on_wait);
  ~MigrationLock();
  MigrationLock(const MigrationLock&) = delete;
  MigrationLock& operator=(const MigrationLock&) = delete;

 private:
  postgres::Connection& connection_;
  std::string schema_;
};

}  // namespace millrace::migrate
