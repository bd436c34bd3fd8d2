// Rule 22 of docs/protocol.md: a newer schema that an older binary can still serve does not stop it.
#include "engine/schema_check.hpp"

#include "support.hpp"

#include <fmt/format.h>

#include <doctest/doctest.h>

using namespace millrace;

namespace {
const int newest = static_cast<int>(embedded_migrations().size());
}

TEST_CASE("a missing or old schema is refused with the command that mends it") {
  ScratchSchema schema;
  const std::string command = fmt::format("run: millrace --schema '{}' migrate up", schema.name());
  const auto check = [&] { engine::check_schema(schema.connection(), schema.name()); };
  CHECK_THROWS_WITH_AS(check(), doctest::Contains(command.c_str()), SchemaError);
  schema.connection().script("CREATE SCHEMA " + schema.name());
  CHECK_THROWS_WITH_AS(check(), doctest::Contains(command.c_str()), SchemaError);
  schema.migrator().up(newest - 1);
  CHECK_THROWS_WITH_AS(check(), doctest::Contains(command.c_str()), SchemaError);
  schema.migrator().up();
  check();
}

TEST_CASE("the command can be pasted whatever the schema's name") {
  ScratchSchema schema("it's; rm");
  CHECK_THROWS_WITH_AS(engine::check_schema(schema.connection(), schema.name()),
                       doctest::Contains("millrace --schema 'it'\\''s; rm' migrate up"), SchemaError);
}

TEST_CASE("rule 22: min_compatible decides whether an older binary serves a newer schema") {
  ScratchSchema schema;
  schema.migrator().up();
  const auto insert = [&](int version, int min_compatible) {
    schema.sql(fmt::format("INSERT INTO @migrations (version, name, min_compatible) VALUES ({}, 'future', {})", version, min_compatible));
  };
  insert(newest + 1, 1);
  insert(newest + 2, newest);
  engine::check_schema(schema.connection(), schema.name());
  insert(newest + 3, newest + 1);
  insert(newest + 4, 1);
  CHECK_THROWS_WITH_AS(engine::check_schema(schema.connection(), schema.name()), doctest::Contains("newer than this binary"), SchemaError);
}
