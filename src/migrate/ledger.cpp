#include "migrate/ledger.hpp"

#include "base/text.hpp"

#include <fmt/format.h>

namespace millrace::migrate {
namespace {

constexpr const char* columns_sql =
    "SELECT count(*) FILTER (WHERE a.attname IN ('version', 'name', 'min_compatible', 'checksum', 'applied_at')), count(*)"
    " FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1 AND c.relname = 'migrations' AND a.attnum > 0 AND NOT a.attisdropped";

}  // namespace

std::optional<std::vector<LedgerRow>> read_ledger(postgres::Connection& connection, const std::string& schema) {
  const postgres::Result columns = connection.run(columns_sql, postgres::Params().text(schema));
  if (columns.integer(0, 1) == 0) return {};
  if (columns.integer(0, 0) != 5) {
    throw SchemaError(
        fmt::format("schema \"{}\" has a table migrations that is not Millrace's; choose another schema with --schema", schema));
  }
  const postgres::Result found = connection.run(fmt::format(
      "SELECT version, name, min_compatible, checksum, applied_at FROM {}.migrations ORDER BY version", base::quote_identifier(schema)));
  std::vector<LedgerRow> rows;
  rows.reserve(static_cast<std::size_t>(found.size()));
  for (int i = 0; i < found.size(); ++i) {
    rows.push_back({.version = static_cast<int>(found.integer(i, 0)),
                    .name = std::string(found.text(i, 1)),
                    .min_compatible = static_cast<int>(found.integer(i, 2)),
                    .checksum = found.maybe_text(i, 3),
                    .applied_at = found.time(i, 4).value_or(Time{})});
  }
  return rows;
}

std::vector<std::string> checksums(postgres::Connection& connection, const std::vector<Migration>& migrations) {
  postgres::ArrayText texts;
  for (const Migration& migration : migrations) texts.text(migration.up);
  const postgres::Result sums =
      connection.run("SELECT encode(sha256(convert_to(up, 'UTF8')), 'hex') FROM unnest($1::text[]) WITH ORDINALITY AS u (up, n) ORDER BY n",
                     postgres::Params().text(std::move(texts).take()));
  std::vector<std::string> all;
  all.reserve(static_cast<std::size_t>(sums.size()));
  for (int i = 0; i < sums.size(); ++i) all.emplace_back(sums.text(i, 0));
  return all;
}

bool write_checksum(postgres::Connection& connection, const std::string& schema, const Migration& migration) {
  const postgres::Result written = connection.run(fmt::format("UPDATE {}.migrations SET checksum = pg_catalog.encode(pg_catalog.sha256("
                                                              "pg_catalog.convert_to($3, 'UTF8')), 'hex') WHERE version = $1 AND name = $2",
                                                              base::quote_identifier(schema)),
                                                  postgres::Params().integer(migration.version).text(migration.name).text(migration.up));
  return written.affected() == 1;
}

std::string title(const Migration& migration) { return fmt::format("{:04} {}", migration.version, migration.name); }

}  // namespace millrace::migrate
