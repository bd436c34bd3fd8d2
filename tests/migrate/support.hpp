// A schema of its own for each test, and ways to look at it from outside the library.
#pragma once

#include <millrace/migrate.hpp>

#include <functional>
#include <string>
#include <vector>

#include "postgres/connection.hpp"
#include "support/schema.hpp"

using millrace::test::database_url;

/// A schema name that no other test uses; the schema is dropped at the end, whatever is in it.
class ScratchSchema {
 public:
  /// `name`: to be used instead of a made-up name.
  explicit ScratchSchema(std::string name = {});
  ~ScratchSchema();
  ScratchSchema(const ScratchSchema&) = delete;
  ScratchSchema& operator=(const ScratchSchema&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] millrace::Migrator migrator() const { return millrace::Migrator(database_url(), name_); }
  [[nodiscard]] millrace::Migrator migrator(std::vector<millrace::Migration> migrations) const {
    return millrace::Migrator(database_url(), name_, std::move(migrations));
  }

  /// One statement, in which `@` stands for the quoted schema name and a dot.
  millrace::postgres::Result sql(const std::string& text);
  [[nodiscard]] bool exists();
  /// Whether there is a relation (table, index, …) of that name.
  [[nodiscard]] bool has(const std::string& relation);
  /// The applied versions with their checksum ("-" for none), as "1:abc… 2:-".
  [[nodiscard]] std::string ledger();
  /// What pg_dump says about the schema's structure, without what differs from run to run; the name becomes millrace.
  [[nodiscard]] std::string dump() const;

  millrace::postgres::Connection& connection() { return connection_; }

 private:
  std::string name_;
  millrace::postgres::Connection connection_;
};

/// Runs psql on a file or, if `file` is empty, on `script`, the way the migrations' own comment says.
void run_psql(const std::string& schema, const std::string& file, bool single_transaction);
void run_psql_script(const std::string& script);

/// The embedded migrations followed by one more.
[[nodiscard]] std::vector<millrace::Migration> embedded_and(millrace::Migration more);
/// A migration with the usual first and last lines around `up` and `down`.
[[nodiscard]] millrace::Migration make_migration(int version, const std::string& name, const std::string& up, const std::string& down = "",
                                                 bool transactional = true);

/// Looks until `condition` holds. Throws if it does not in time.
void await(const char* what, const std::function<bool()>& condition);
