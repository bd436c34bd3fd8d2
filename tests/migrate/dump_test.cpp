// The schema's structure, as pg_dump sees it.
#include "support.hpp"

#include <fmt/format.h>

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

using namespace millrace;

namespace {

const int newest = static_cast<int>(embedded_migrations().size());

std::string read_golden() {
  std::ifstream file(GOLDEN_DUMP, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The first line in which the texts differ, with its number: a whole dump is no message.
std::string first_difference(const std::string& expected, const std::string& got) {
  std::size_t line_start = 0;
  int line = 1;
  for (std::size_t i = 0; i < std::min(expected.size(), got.size()) && expected[i] == got[i]; ++i) {
    if (expected[i] == '\n') {
      line_start = i + 1;
      ++line;
    }
  }
  const auto one = [&](const std::string& text) { return text.substr(line_start, text.find('\n', line_start) - line_start); };
  return fmt::format("line {}: expected \"{}\", got \"{}\"", line, one(expected), one(got));
}

}  // namespace

TEST_CASE("each down undoes its up exactly") {
  ScratchSchema schema;
  std::map<int, std::string> dumps;
  for (int version = 1; version <= newest; ++version) {
    REQUIRE(schema.migrator().up(version) == 1);
    dumps[version] = schema.dump();
  }
  for (int version = newest - 1; version >= 1; --version) {
    CAPTURE(version);
    REQUIRE(schema.migrator().down(version) == 1);
    const std::string dump = schema.dump();
    if (dump != dumps[version]) FAIL(first_difference(dumps[version], dump));
  }
  REQUIRE(schema.migrator().down(0) == 1);
  CHECK_FALSE(schema.exists());
  REQUIRE(schema.migrator().up() == newest);
  CHECK(schema.dump() == dumps[newest]);
}

TEST_CASE("the schema is the one in schema.golden.sql") {
  ScratchSchema schema;
  schema.migrator().up();
  const std::string heading =
      fmt::format("-- As pg_dump of PostgreSQL {} prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.\n",
                  schema.connection().server_version() / 10000);
  const std::string dump = heading + schema.dump();
  if (std::getenv("MILLRACE_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(GOLDEN_DUMP, std::ios::binary) << dump;
  }
  const std::string golden = read_golden();
  if (!golden.starts_with(heading)) {
    MESSAGE("the golden dump is from another version of PostgreSQL: not compared");
    return;
  }
  if (dump != golden) FAIL(first_difference(golden, dump));
}
