// Migrations: the queue's schema, embedded in the library, applied by it or by plain psql.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/types.hpp>

namespace millrace {

/// One migration: two SQL texts that psql can run, in which `:"schema"` stands for the schema's quoted name.
struct Migration {
  int version = 0;  ///< 1, 2, 3, … without gaps.
  std::string name{};
  int min_compatible = 1;     ///< Oldest binary (by its newest migration) that can serve the schema with this applied.
  bool transactional = true;  ///< false: run outside a transaction (CREATE INDEX CONCURRENTLY), repeatable after a failure.
  std::string up{};
  std::string down{};
};

/// The migrations that this library was built with, in order.
[[nodiscard]] const std::vector<Migration>& embedded_migrations();

struct MigrationState {
  int version = 0;
  std::string name{};
  std::optional<Time> applied_at{};  ///< None: pending.
  bool known = true;                 ///< false: applied, but not part of this binary.
  bool changed = false;              ///< Applied from another text than this binary's: the SHA-256 of `up` differs.
};

enum class MigrationStep : std::uint8_t { waiting, applying, applied, adopted, reverting, reverted };
/// Called as the runner goes. `waiting` comes without a migration when another migrator is at work, and with one when
/// somebody holds a lock that it needs.
using MigrationProgress = std::function<void(MigrationStep, const Migration*)>;

/// Applies and reverts migrations. Safe with any number of migrators at once: one works, the others poll
/// pg_try_advisory_lock. Needs sessions of its own: connect to PostgreSQL itself, not through a transaction pooler.
/// Not thread-safe; use one per thread.
class Migrator {
 public:
  /// Throws InvalidArgument("schema") for a name that is empty, over 63 bytes, starts with pg_, is $user, or holds a NUL.
  explicit Migrator(ConnectionString database, std::string schema = "millrace");
  /// The same with other migrations than the embedded ones.
  Migrator(ConnectionString database, std::string schema, std::vector<Migration> migrations);

  /// Applies everything up to version `to` (default: all) and returns how many were applied. Rows that psql left are
  /// adopted: their checksum is filled in. Throws SchemaError if the schema is newer than this binary, or if an applied
  /// migration's checksum differs; ConnectionError; DatabaseError if a migration fails (it leaves nothing behind, unless
  /// non-transactional).
  int up(std::optional<int> to = {}, const MigrationProgress& progress = {});
  /// Reverts everything above version `to` (0: everything) and returns how many were reverted. Throws as up() does.
  int down(int to, const MigrationProgress& progress = {});
  /// Every known or applied migration, in order.
  [[nodiscard]] std::vector<MigrationState> status();
  /// The SQL of the migrations in (from, to], ready for psql without variables.
  [[nodiscard]] std::string print(int from = 0, std::optional<int> to = {}) const;

 private:
  ConnectionString database_;
  std::string schema_;
  std::vector<Migration> migrations_;
};

}  // namespace millrace
