// What psql left is adopted; what does not fit this binary is refused.
#include "support.hpp"

#include <fmt/format.h>

#include <doctest/doctest.h>

using namespace millrace;

namespace {

const int newest = static_cast<int>(embedded_migrations().size());

void apply_by_psql(const std::string& schema) {
  for (const Migration& migration : embedded_migrations()) {
    run_psql(schema, fmt::format("{}/{:04}_{}.up.sql", MIGRATIONS_FOLDER, migration.version, migration.name), true);
  }
}

}  // namespace

TEST_CASE("plain psql does the same as up, which then adopts its rows") {
  ScratchSchema schema;
  apply_by_psql(schema.name());
  CHECK(schema.ledger().find(":-") != std::string::npos);
  for (const MigrationState& state : schema.migrator().status()) {
    CHECK(state.applied_at);
    CHECK_FALSE(state.changed);
  }
  int adopted = 0;
  CHECK(schema.migrator().up({}, [&](MigrationStep step, const Migration*) { adopted += step == MigrationStep::adopted; }) == 0);
  CHECK(adopted == newest);
  CHECK(schema.ledger().find(":-") == std::string::npos);

  ScratchSchema other;
  other.migrator().up();
  CHECK(other.ledger() == schema.ledger());
  CHECK(other.dump() == schema.dump());
}

TEST_CASE("print gives psql what up does") {
  ScratchSchema printed, applied;
  run_psql_script(printed.migrator().print(0, 3));
  run_psql_script(printed.migrator().print(3));
  applied.migrator().up();
  CHECK(printed.dump() == applied.dump());
}

TEST_CASE("an up that psql began is finished") {
  ScratchSchema schema;
  run_psql(schema.name(), fmt::format("{}/0001_foundation.up.sql", MIGRATIONS_FOLDER), true);
  CHECK(schema.migrator().up() == newest - 1);
  CHECK(schema.ledger().find(":-") == std::string::npos);
}

TEST_CASE("a migration applied from another text is refused and shown") {
  ScratchSchema schema;
  schema.migrator().up();
  schema.sql("UPDATE @migrations SET checksum = 'abc' WHERE version = 3");
  CHECK_THROWS_WITH_AS(schema.migrator().up(), doctest::Contains("migration 0003 enqueue was applied"), SchemaError);
  CHECK_THROWS_AS(schema.migrator().down(0), SchemaError);
  CHECK(schema.migrator().status()[2].changed);
  CHECK_FALSE(schema.migrator().status()[1].changed);
  schema.sql("UPDATE @migrations SET checksum = NULL WHERE version = 3");
  CHECK(schema.migrator().up() == 0);
  CHECK_FALSE(schema.migrator().status()[2].changed);
  schema.sql("UPDATE @migrations SET name = 'other' WHERE version = 3");
  CHECK_THROWS_AS(schema.migrator().up(), SchemaError);
}

TEST_CASE("a schema newer than the binary is refused by up and down, and shown by status") {
  ScratchSchema schema;
  auto newer = schema.migrator(embedded_and(make_migration(newest + 1, "future", "CREATE TABLE future ();", "DROP TABLE future;")));
  CHECK(newer.up() == newest + 1);
  CHECK_THROWS_WITH_AS(schema.migrator().up(), doctest::Contains("newer than this binary"), SchemaError);
  CHECK_THROWS_WITH_AS(schema.migrator().down(0), doctest::Contains("newer than this binary"), SchemaError);
  CHECK(schema.has("future"));
  const auto states = schema.migrator().status();
  REQUIRE(states.size() == static_cast<std::size_t>(newest + 1));
  CHECK(states.back().name == "future");
  CHECK(states.back().applied_at);
  CHECK_FALSE(states.back().known);
  CHECK(newer.down(newest) == 1);
  CHECK(schema.migrator().up() == 0);
}

TEST_CASE("a history with a hole is refused") {
  ScratchSchema schema;
  schema.migrator().up();
  schema.sql("DELETE FROM @migrations WHERE version = 2");
  CHECK_THROWS_WITH_AS(schema.migrator().up(), doctest::Contains("has migration 3 applied without 0002 tables"), SchemaError);
  CHECK_THROWS_AS(schema.migrator().down(0), SchemaError);
}

TEST_CASE("a table migrations of some other tool is left alone") {
  ScratchSchema schema;
  schema.connection().script("CREATE SCHEMA " + schema.name());
  schema.sql("CREATE TABLE @migrations (id serial PRIMARY KEY, migration text, batch integer)");
  CHECK_THROWS_WITH_AS(schema.migrator().up(), doctest::Contains("not Millrace's"), SchemaError);
  CHECK_THROWS_AS((void)schema.migrator().status(), SchemaError);
  CHECK_FALSE(schema.has("tasks"));
}
