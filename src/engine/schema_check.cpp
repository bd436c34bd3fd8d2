#include "engine/schema_check.hpp"

#include "migrate/ledger.hpp"

#include <millrace/migrate.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace millrace::engine {
namespace {

// `text` as one word of a POSIX shell, for people to paste.
std::string shell_word(std::string_view text) {
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'') {
      word += "'\\''";
    } else {
      word += c;
    }
  }
  return word += '\'';
}

std::string migrate_up(const std::string& schema) {
  return schema == "millrace" ? "millrace migrate up" : fmt::format("millrace --schema {} migrate up", shell_word(schema));
}

}  // namespace

void check_schema(postgres::Connection& connection, const std::string& schema) {
  const auto rows = migrate::read_ledger(connection, schema);
  if (!rows || rows->empty()) throw SchemaError(fmt::format("there is no Millrace in schema \"{}\"; run: {}", schema, migrate_up(schema)));
  const auto& known = embedded_migrations();
  const int newest = known.back().version;
  const auto strictest =
      std::max_element(rows->begin(), rows->end(), [](const auto& a, const auto& b) { return a.min_compatible < b.min_compatible; });
  if (strictest->min_compatible > newest) {
    throw SchemaError(
        fmt::format("schema \"{}\" is newer than this binary: its migration {:04} {} needs a millrace that knows migration {}, "
                    "and this one knows {}; install a newer millrace",
                    schema, strictest->version, strictest->name, strictest->min_compatible, newest));
  }
  for (const Migration& migration : known) {
    if (std::any_of(rows->begin(), rows->end(), [&](const auto& row) { return row.version == migration.version; })) continue;
    throw SchemaError(
        fmt::format("schema \"{}\" lacks migration {} of {}; run: {}", schema, migrate::title(migration), newest, migrate_up(schema)));
  }
}

}  // namespace millrace::engine
