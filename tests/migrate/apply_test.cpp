// up and down: whole or not at all, in any schema.
#include "support.hpp"

#include "base/text.hpp"
#include "engine/schema_check.hpp"

#include <doctest/doctest.h>

using namespace millrace;

namespace {
const int newest = static_cast<int>(embedded_migrations().size());
}

TEST_CASE("status of a schema that does not exist: everything is pending") {
  ScratchSchema schema;
  const auto states = schema.migrator().status();
  REQUIRE(states.size() == embedded_migrations().size());
  for (const MigrationState& state : states) {
    CHECK_FALSE(state.applied_at);
    CHECK(state.known);
    CHECK_FALSE(state.changed);
  }
  CHECK_FALSE(schema.exists());
}

TEST_CASE("up applies everything once, with progress, and then nothing") {
  ScratchSchema schema;
  std::string seen;
  const auto progress = [&](MigrationStep step, const Migration* migration) {
    if (step == MigrationStep::applied) seen += migration->name + ' ';
    if (step == MigrationStep::waiting) seen += "waiting ";
  };
  CHECK(schema.migrator().up({}, progress) == newest);
  CHECK(seen.starts_with("foundation tables enqueue "));
  CHECK(seen.find("waiting") == std::string::npos);
  CHECK(schema.migrator().up() == 0);
  CHECK(schema.ledger().find(":-") == std::string::npos);
  for (const MigrationState& state : schema.migrator().status()) CHECK(state.applied_at);
  CHECK(schema.sql("SELECT @enqueue('mail', '{}')").integer(0, 0) == 1);
}

TEST_CASE("up and down stop where they are told to") {
  ScratchSchema schema;
  CHECK(schema.migrator().up(0) == 0);
  CHECK_FALSE(schema.exists());
  CHECK(schema.migrator().up(2) == 2);
  CHECK(schema.migrator().up(1) == 0);
  CHECK(schema.has("tasks"));
  CHECK(schema.migrator().down(1) == 1);
  CHECK_FALSE(schema.has("tasks"));
  CHECK(schema.migrator().up() == newest - 1);
  CHECK(schema.migrator().down(0) == newest);
  CHECK_FALSE(schema.exists());
  CHECK(schema.migrator().down(0) == 0);
  CHECK_THROWS_AS(schema.migrator().up(newest + 1), InvalidArgument);
  CHECK_THROWS_AS(schema.migrator().up(-1), InvalidArgument);
  CHECK_THROWS_AS(schema.migrator().down(-1), InvalidArgument);
  CHECK_THROWS_AS((void)schema.migrator().print(3, 2), InvalidArgument);
}

TEST_CASE("a migration that fails leaves nothing behind and is named") {
  ScratchSchema schema;
  auto migrator = schema.migrator(embedded_and(make_migration(newest + 1, "broken", "CREATE TABLE left_behind (); SELECT 1/0;")));
  try {
    migrator.up();
    FAIL("it did not throw");
  } catch (const DatabaseError& error) {
    CHECK(error.sqlstate() == "22012");
    CHECK(std::string(error.what()).find("broken failed: division by zero") != std::string::npos);
  }
  CHECK_FALSE(schema.has("left_behind"));
  CHECK(schema.migrator().up() == 0);  // The good ones before it stay, and the lock is free.
  CHECK_FALSE(migrator.status().back().applied_at);
}

TEST_CASE("a missing table in a migration is reported as what it is") {
  ScratchSchema schema;
  auto migrator = schema.migrator(embedded_and(make_migration(newest + 1, "broken", "INSERT INTO nowhere VALUES (1);")));
  CHECK_THROWS_WITH_AS(migrator.up(), doctest::Contains("broken failed: relation \"nowhere\" does not exist"), DatabaseError);
}

TEST_CASE("a migration must insert and delete its own row") {
  ScratchSchema schema;
  Migration silent = make_migration(newest + 1, "silent", "");
  const std::string good_up = silent.up;
  silent.up = "CREATE TABLE :\"schema\".left_behind ();";
  CHECK_THROWS_WITH_AS(schema.migrator(embedded_and(silent)).up(), doctest::Contains("does not insert its row"), InvalidArgument);
  CHECK_FALSE(schema.has("left_behind"));
  silent.up = good_up;
  silent.down = "SELECT 1;";
  CHECK(schema.migrator(embedded_and(silent)).up() == 1);
  CHECK_THROWS_WITH_AS(schema.migrator(embedded_and(silent)).down(newest), doctest::Contains("does not delete its row"), InvalidArgument);
}

TEST_CASE("lock timeouts and deadlocks are tried again, a bounded number of times") {
  ScratchSchema schema;
  schema.migrator().up();
  schema.sql("CREATE SEQUENCE @tries");  // A sequence remembers what a rolled back attempt did.
  const auto failing = [](const char* sqlstate, int times) {
    return make_migration(newest + 1, "contended",
                          std::string("DO $$ BEGIN IF nextval('tries') <= ") + std::to_string(times) +
                              " THEN RAISE 'held' USING ERRCODE = '" + sqlstate + "'; END IF; END $$;",
                          "");
  };
  for (const char* sqlstate : {"55P03", "40P01"}) {
    schema.sql("ALTER SEQUENCE @tries RESTART");
    int waits = 0;
    const auto progress = [&](MigrationStep step, const Migration* migration) {
      waits += step == MigrationStep::waiting && migration != nullptr;
    };
    auto migrator = schema.migrator(embedded_and(failing(sqlstate, 2)));
    CHECK(migrator.up({}, progress) == 1);
    CHECK(waits == 2);
    CHECK(migrator.down(newest) == 1);
  }
  auto hopeless = schema.migrator(embedded_and(failing("55P03", 1'000'000)));
  CHECK_THROWS_WITH_AS(hopeless.up(), doctest::Contains("contended failed: held"), DatabaseError);
}

TEST_CASE("any schema name works") {
  for (const std::string name : {R"(a"; DROP SCHEMA x--)", R"(it's \ $$ :"schema" %s)", "Grünes Rad 水車", "two\nlines", "select", " "}) {
    CAPTURE(name);
    ScratchSchema schema(name);
    CHECK(schema.migrator().up() == newest);
    engine::check_schema(schema.connection(), name);
    CHECK(schema.sql("SELECT @enqueue('mail', '{}')").integer(0, 0) == 1);
    CHECK(schema.migrator().down(0) == newest);
    CHECK_FALSE(schema.exists());
    run_psql_script(schema.migrator().print());
    CHECK(schema.migrator().up() == 0);
  }
}

TEST_CASE("a name of 63 bytes works whole") {
  const std::string name(63, 'm');
  ScratchSchema schema(name);
  CHECK(schema.migrator().up() == newest);
  CHECK(schema.exists());
}

TEST_CASE("impossible schema names are refused before anything is done") {
  for (const std::string& name : {std::string(), std::string(64, 'm'), std::string("pg_mill"), std::string("$user"), std::string("a\0b", 3),
                                  std::string("bad\xff")}) {
    CAPTURE(name);
    CHECK_THROWS_AS(Migrator("", name), InvalidArgument);
  }
}

TEST_CASE("a set of migrations with a gap is refused") {
  CHECK_THROWS_AS(Migrator("", "millrace", embedded_and(make_migration(newest + 2, "late", ""))), InvalidArgument);
  Migration demanding = make_migration(newest + 1, "demanding", "");
  demanding.min_compatible = newest + 2;
  CHECK_THROWS_AS(Migrator("", "millrace", embedded_and(demanding)), InvalidArgument);
}
