// Migrations that build indexes without stopping anybody.
#include "support.hpp"

#include <fmt/format.h>

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

using namespace millrace;

namespace {

const int newest = static_cast<int>(embedded_migrations().size());

// An invalid index of a failed attempt would satisfy IF NOT EXISTS, so such files drop first.
Migration index_migration() {
  return make_migration(newest + 1, "unique_notes",
                        "CREATE TABLE IF NOT EXISTS notes (text text);\n"
                        "DROP INDEX CONCURRENTLY IF EXISTS notes_text;\n"
                        "CREATE UNIQUE INDEX CONCURRENTLY notes_text ON notes (text);",
                        "DROP INDEX CONCURRENTLY IF EXISTS notes_text;\nDROP TABLE IF EXISTS notes;", false);
}

bool is_valid(ScratchSchema& schema, const char* index) {
  return schema.has(index) &&
         schema.sql(fmt::format("SELECT indisvalid FROM pg_index WHERE indexrelid = '@{}'::regclass", index)).boolean(0, 0);
}

}  // namespace

TEST_CASE("an index can be built concurrently, and dropped again") {
  ScratchSchema schema;
  auto migrator = schema.migrator(embedded_and(index_migration()));
  CHECK(migrator.up() == newest + 1);
  CHECK(is_valid(schema, "notes_text"));
  CHECK(schema.ledger().find(":-") == std::string::npos);
  CHECK(migrator.down(newest) == 1);
  CHECK_FALSE(schema.has("notes"));
}

TEST_CASE("after a failure it can be repeated") {
  ScratchSchema schema;
  schema.migrator().up();
  schema.sql("CREATE TABLE @notes (text text)");
  schema.sql("INSERT INTO @notes VALUES ('twice'), ('twice')");
  auto migrator = schema.migrator(embedded_and(index_migration()));
  CHECK_THROWS_WITH_AS(migrator.up(), doctest::Contains("mend the cause and repeat"), DatabaseError);
  CHECK_FALSE(is_valid(schema, "notes_text"));
  CHECK_FALSE(migrator.status().back().applied_at);
  schema.sql("TRUNCATE @notes");
  CHECK(migrator.up() == 1);
  CHECK(is_valid(schema, "notes_text"));
}

TEST_CASE("psql runs what print says of a non-transactional migration") {
  ScratchSchema schema;
  auto migrator = schema.migrator(embedded_and(index_migration()));
  run_psql_script(migrator.print());
  CHECK(is_valid(schema, "notes_text"));
  CHECK(migrator.up() == 0);
}

TEST_CASE("rule 22: a migrator that waits does not hold up CREATE INDEX CONCURRENTLY") {
  ScratchSchema schema;
  schema.migrator().up();
  schema.sql("CREATE TABLE @notes (text text)");
  schema.connection().script("BEGIN");  // The build waits for this transaction.
  schema.sql("INSERT INTO @notes VALUES ('once')");

  const auto migrations = embedded_and(index_migration());
  std::atomic<int> applied = 0;
  std::atomic<bool> second_waits = false;
  std::thread first([&] { applied += schema.migrator(migrations).up(); });
  ScratchSchema watcher;
  const auto building = [&] {
    return watcher
               .sql(
                   "SELECT FROM pg_stat_activity WHERE application_name = 'millrace migrate' AND query LIKE 'CREATE UNIQUE INDEX%'"
                   " AND wait_event_type = 'Lock' AND datname = current_database()")
               .size() == 1;
  };
  await("the build to wait for the open transaction", building);
  std::thread second([&] {
    applied += schema.migrator(migrations).up({}, [&](MigrationStep step, const Migration*) {
      if (step == MigrationStep::waiting) second_waits = true;
    });
  });
  await("the second migrator to wait", [&] { return second_waits.load(); });
  schema.connection().script("COMMIT");
  first.join();
  second.join();
  CHECK(applied == 1);
  CHECK(is_valid(schema, "notes_text"));
}
