// The schema's structure, as pg_dump sees it.
#include "support.hpp"

#include <fmt/format.h>

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>

using namespace millrace;

namespace {

const int newest = static_cast<int>(embedded_migrations().size());

using Parts = std::map<std::string, std::string>;

// The file in the folder golden for each thing that a migration makes, by the thing's name.
Parts makers() {
  static const std::regex create(R"(CREATE (?:TABLE|TYPE|VIEW|FUNCTION|INDEX|SEQUENCE) (\w+))");
  Parts made;
  for (const Migration& one : embedded_migrations()) {
    const std::string file = fmt::format("{:04}_{}.sql", one.version, one.name);
    for (std::sregex_iterator found(one.up.begin(), one.up.end(), create), end; found != end; ++found) made.try_emplace((*found)[1], file);
  }
  return made;
}

// The dump by the migration that makes what is dumped: each entry has a heading, "-- Name: FUNCTION claim(…); Type: COMMENT; …".
Parts parts_of(const std::string& dump) {
  static const std::regex heading(R"(--\n-- Name: (?:(?:FUNCTION|TABLE|COLUMN|VIEW|TYPE|INDEX) )?(\w+))");
  const Parts made = makers();
  const std::string first = fmt::format("{:04}_{}.sql", 1, embedded_migrations().front().name);
  Parts parts;
  std::string file = first;
  std::size_t from = 0;
  for (std::sregex_iterator found(dump.begin(), dump.end(), heading), end; found != end; ++found) {
    const auto at = static_cast<std::size_t>(found->position());
    parts[file] += dump.substr(from, at - from);
    from = at;
    const std::string name = (*found)[1];
    auto maker = made.find(name);
    // A sequence is named after its table and column.
    for (std::size_t cut = name.rfind('_'); maker == made.end() && cut != std::string::npos && cut > 0; cut = name.rfind('_', cut - 1))
      maker = made.find(name.substr(0, cut));
    file = maker == made.end() ? first : maker->second;
  }
  parts[file] += dump.substr(from);
  // One line is heading enough.
  static const std::regex frame(R"(--\n(-- Name: [^\n]*\n)--\n\n)");
  for (auto& [name, text] : parts) text = std::regex_replace(text, frame, "$1");
  return parts;
}

Parts read_golden() {
  Parts parts;
  for (const auto& one : std::filesystem::directory_iterator(GOLDEN_DUMP)) {
    std::ifstream file(one.path(), std::ios::binary);
    parts[one.path().filename().string()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return parts;
}

void write_golden(const Parts& parts) {
  std::filesystem::remove_all(GOLDEN_DUMP);
  std::filesystem::create_directory(GOLDEN_DUMP);
  for (const auto& [file, text] : parts) std::ofstream(std::filesystem::path(GOLDEN_DUMP) / file, std::ios::binary) << text;
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

TEST_CASE("the schema is the one in the folder golden") {
  ScratchSchema schema;
  schema.migrator().up();
  const std::string heading =
      fmt::format("-- As pg_dump of PostgreSQL {} prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.\n",
                  schema.connection().server_version() / 10000);
  Parts dumped = parts_of(schema.dump());
  for (auto& [file, text] : dumped) text.insert(0, heading);
  if (std::getenv("MILLRACE_UPDATE_GOLDEN") != nullptr) write_golden(dumped);
  const Parts golden = read_golden();
  REQUIRE_FALSE(golden.empty());
  if (!golden.begin()->second.starts_with(heading)) {
    MESSAGE("the golden dump is from another version of PostgreSQL: not compared");
    return;
  }
  for (const auto& part : dumped) {
    const std::string& file = part.first;  // clang 14 lets no lambda, which CAPTURE makes, see a structured binding
    CAPTURE(file);
    REQUIRE(golden.count(file) == 1);
    if (part.second != golden.at(file)) FAIL(first_difference(golden.at(file), part.second));
  }
  CHECK(golden.size() == dumped.size());
}
