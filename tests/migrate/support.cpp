#include "support.hpp"

#include "base/text.hpp"
#include "dev/run_program.hpp"
#include "dev/server_binaries.hpp"
#include "support/wait.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

using namespace millrace;

namespace {

std::string next_name() {
  static int count = 0;
  return fmt::format("migrate_{}_{}", ::getpid(), ++count);
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) text.replace(at, what.size(), by);
  return text;
}

std::string run_or_throw(std::vector<std::string> argv) {
  const auto binaries = dev::find_server_binaries();
  argv[0] = binaries.program(argv[0].c_str());
  const dev::Finished finished = dev::run_program({.argv = argv});
  if (finished.status != 0) throw std::runtime_error(fmt::format("{} failed: {}", argv[0], finished.err));
  return finished.out;
}

}  // namespace

ScratchSchema::ScratchSchema(std::string name)
    : name_(name.empty() ? next_name() : std::move(name)),
      connection_({.url = database_url(), .application = "migrate_tests", .schema = ""}) {
  connection_.script(fmt::format("DROP SCHEMA IF EXISTS {} CASCADE", base::quote_identifier(name_)));
}

ScratchSchema::~ScratchSchema() {
  try {
    connection_.script(fmt::format("DROP SCHEMA IF EXISTS {} CASCADE", base::quote_identifier(name_)));
  } catch (const std::exception& error) {
    fmt::print(stderr, "cannot drop {}: {}\n", name_, error.what());
  }
}

postgres::Result ScratchSchema::sql(const std::string& text) {
  return connection_.script(replaced(text, "@", base::quote_identifier(name_) + '.'));
}

bool ScratchSchema::exists() {
  return connection_.run("SELECT FROM pg_namespace WHERE nspname = $1", postgres::Params().text(name_)).size() == 1;
}

bool ScratchSchema::has(const std::string& relation) {
  return connection_
             .run("SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = $1 AND relname = $2",
                  postgres::Params().text(name_).text(relation))
             .size() == 1;
}

std::string ScratchSchema::ledger() {
  const auto rows = sql("SELECT string_agg(version || ':' || coalesce(checksum, '-'), ' ' ORDER BY version) FROM @migrations");
  return std::string(rows.text(0, 0));
}

std::string ScratchSchema::dump() const {
  std::istringstream lines(run_or_throw({"pg_dump", "--schema-only", "--no-owner", "--no-privileges", "--schema",
                                         base::quote_identifier(name_), "--dbname", database_url()}));
  std::string text;
  bool blank = true;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("\\restrict") || line.starts_with("\\unrestrict") || line.starts_with("-- Dumped ")) continue;
    if (line.empty() && blank) continue;
    blank = line.empty();
    text += line + '\n';
  }
  return replaced(text, name_, "millrace");
}

void run_psql(const std::string& schema, const std::string& file, bool single_transaction) {
  std::vector<std::string> argv{"psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "schema=" + schema, "-f", file, database_url()};
  if (single_transaction) argv.insert(argv.begin() + 1, "-1");
  run_or_throw(std::move(argv));
}

void run_psql_script(const std::string& script) {
  const auto file = std::filesystem::temp_directory_path() / (next_name() + ".sql");
  std::ofstream(file) << script;
  try {
    run_or_throw({"psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, database_url()});
  } catch (...) {
    std::filesystem::remove(file);
    throw;
  }
  std::filesystem::remove(file);
}

std::vector<Migration> embedded_and(Migration more) {
  std::vector<Migration> all = embedded_migrations();
  all.push_back(std::move(more));
  return all;
}

Migration make_migration(int version, const std::string& name, const std::string& up, const std::string& down, bool transactional) {
  const std::string first = fmt::format("SET {}search_path = :\"schema\", pg_catalog, pg_temp;\n", transactional ? "LOCAL " : "");
  return {
      .version = version,
      .name = name,
      .min_compatible = 1,
      .transactional = transactional,
      .up = fmt::format("{}{}\nINSERT INTO migrations (version, name, min_compatible) VALUES ({}, '{}', 1);\n", first, up, version, name),
      .down = fmt::format("{}{}\nDELETE FROM migrations WHERE version = {};\n", first, down, version)};
}

void await(const char* what, const std::function<bool()>& condition) {
  if (!test::eventually(condition)) throw std::runtime_error(std::string("waited in vain for: ") + what);
}
