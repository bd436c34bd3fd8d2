#include <millrace/migrate.hpp>

#include "base/text.hpp"
#include "migrate/apply.hpp"
#include "migrate/ledger.hpp"
#include "migrate/sql_text.hpp"
#include "postgres/connection.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace millrace {
namespace {

using migrate::LedgerRow;
using migrate::title;
using Rows = std::vector<LedgerRow>;

postgres::Dial dial_to(const ConnectionString& database) {
  // Migrations are SQL of any kind: their errors are not those of a call to the queue, so no schema is named.
  return {.url = database, .application = "millrace migrate", .schema = ""};
}

void check_migrations(const std::vector<Migration>& migrations) {
  int expected = 0;
  for (const Migration& migration : migrations) {
    if (migration.version != ++expected) {
      throw InvalidArgument("migrations", fmt::format("hold version {} where {} was expected", migration.version, expected));
    }
    if (migration.min_compatible < 1 || migration.min_compatible > migration.version) {
      throw InvalidArgument("migrations", fmt::format("hold {}, whose min_compatible is {}; allowed is 1 to {}", title(migration),
                                                      migration.min_compatible, migration.version));
    }
  }
}

void check_range(const char* field, int version, int low, int high) {
  if (version < low || version > high) throw InvalidArgument(field, fmt::format("is {}; allowed is {} to {}", version, low, high));
}

bool is_changed(const LedgerRow& row, const Migration& migration, const std::string& checksum) {
  return row.name != migration.name || (row.checksum && *row.checksum != checksum);
}

// Refuses a schema whose history is not the beginning of this binary's.
void check_history(const std::string& schema, const Rows& rows, const std::vector<Migration>& migrations,
                   const std::vector<std::string>& checksums) {
  const auto newest = migrations.size();
  if (!rows.empty() && rows.back().version > static_cast<int>(newest)) {
    throw SchemaError(fmt::format("schema \"{}\" is at migration {} and newer than this binary, which knows {}; use a newer millrace",
                                  schema, rows.back().version, newest));
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Migration& migration = migrations[i];
    if (rows[i].version != migration.version) {
      throw SchemaError(fmt::format("schema \"{}\" has migration {} applied without {}; apply that file with psql first", schema,
                                    rows[i].version, title(migration)));
    }
    if (is_changed(rows[i], migration, checksums[i])) {
      throw SchemaError(
          fmt::format("migration {} was applied to schema \"{}\" from another text than this binary's; use the millrace that "
                      "applied it, or compare the two and then set that row's checksum to null to have it adopted",
                      title(migration), schema));
    }
  }
}

}  // namespace

Migrator::Migrator(ConnectionString database, std::string schema)
    : Migrator(std::move(database), std::move(schema), embedded_migrations()) {}

Migrator::Migrator(ConnectionString database, std::string schema, std::vector<Migration> migrations)
    : database_(std::move(database)), schema_(std::move(schema)), migrations_(std::move(migrations)) {
  base::check_schema_name(schema_);
  check_migrations(migrations_);
}

int Migrator::up(std::optional<int> to, const MigrationProgress& progress) {
  const int newest = static_cast<int>(migrations_.size());
  const int target = to.value_or(newest);
  check_range("to", target, 0, newest);
  const auto tell = [&](MigrationStep step, const Migration* migration) {
    if (progress) progress(step, migration);
  };

  postgres::Connection connection(dial_to(database_));
  const migrate::MigrationLock lock(connection, schema_, [&] { tell(MigrationStep::waiting, nullptr); });
  const Rows rows = migrate::read_ledger(connection, schema_).value_or(Rows{});
  check_history(schema_, rows, migrations_, migrate::checksums(connection, migrations_));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].checksum && migrate::write_checksum(connection, schema_, migrations_[i])) tell(MigrationStep::adopted, &migrations_[i]);
  }
  int applied = 0;
  for (auto i = rows.size(); i < static_cast<std::size_t>(target); ++i) {
    const Migration& migration = migrations_[i];
    tell(MigrationStep::applying, &migration);
    migrate::apply(connection, schema_, migration, migrate::Direction::up, [&] { tell(MigrationStep::waiting, &migration); });
    tell(MigrationStep::applied, &migration);
    ++applied;
  }
  return applied;
}

int Migrator::down(int to, const MigrationProgress& progress) {
  check_range("to", to, 0, static_cast<int>(migrations_.size()));
  const auto tell = [&](MigrationStep step, const Migration* migration) {
    if (progress) progress(step, migration);
  };

  postgres::Connection connection(dial_to(database_));
  const migrate::MigrationLock lock(connection, schema_, [&] { tell(MigrationStep::waiting, nullptr); });
  const Rows rows = migrate::read_ledger(connection, schema_).value_or(Rows{});
  check_history(schema_, rows, migrations_, migrate::checksums(connection, migrations_));
  int reverted = 0;
  for (auto i = rows.size(); i > static_cast<std::size_t>(to); --i) {
    const Migration& migration = migrations_[i - 1];
    tell(MigrationStep::reverting, &migration);
    migrate::apply(connection, schema_, migration, migrate::Direction::down, [&] { tell(MigrationStep::waiting, &migration); });
    tell(MigrationStep::reverted, &migration);
    ++reverted;
  }
  return reverted;
}

std::vector<MigrationState> Migrator::status() {
  postgres::Connection connection(dial_to(database_));
  const Rows rows = migrate::read_ledger(connection, schema_).value_or(Rows{});
  const auto checksums = migrate::checksums(connection, migrations_);
  std::vector<MigrationState> states;
  for (std::size_t i = 0; i < migrations_.size(); ++i) {
    const Migration& migration = migrations_[i];
    MigrationState state{.version = migration.version, .name = migration.name};
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const LedgerRow& r) { return r.version == migration.version; });
    if (row != rows.end()) {
      state.applied_at = row->applied_at;
      state.changed = is_changed(*row, migration, checksums[i]);
    }
    states.push_back(std::move(state));
  }
  for (const LedgerRow& row : rows) {
    if (row.version <= static_cast<int>(migrations_.size())) continue;
    states.push_back({.version = row.version, .name = row.name, .applied_at = row.applied_at, .known = false});
  }
  return states;
}

std::string Migrator::print(int from, std::optional<int> to) const {
  const int newest = static_cast<int>(migrations_.size());
  check_range("from", from, 0, newest);
  check_range("to", to.value_or(newest), from, newest);
  std::string out = "-- To be run by: psql -X -v ON_ERROR_STOP=1 -f FILE\n";
  for (const Migration& migration : migrations_) {
    if (migration.version <= from || migration.version > to.value_or(newest)) continue;
    const std::string sql = migrate::fill_schema(migration.up, schema_);
    if (migration.transactional) {
      out += fmt::format("\nBEGIN;\n{}\nCOMMIT;\n", sql);
    } else {
      out += fmt::format("\n{}\nRESET search_path;\n", sql);
    }
  }
  return out;
}

}  // namespace millrace
