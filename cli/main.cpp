#include "bench.hpp"
#include "cli/app.hpp"
#include "dev/cluster.hpp"

#include <millrace/error.hpp>
#include <millrace/version.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdlib>
#include <filesystem>

namespace millrace::cli {

ConnectionString Globals::url() const {
  if (!database.empty()) return database;
  for (const char* name : {"MILLRACE_DATABASE", "DATABASE_URL"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return std::string(value);
  }
  for (const char* name : {"PGHOST", "PGSERVICE", "PGDATABASE"}) {
    if (std::getenv(name) != nullptr) return {};
  }
  if (const auto cluster = dev::Cluster::find(std::filesystem::current_path())) return cluster->url();
  return {};
}

namespace {

int fail(int code, const std::string& message, const std::string& hint = {}) {
  fmt::print(stderr, "millrace: {}\n", message);
  if (!hint.empty()) fmt::print(stderr, "{}\n", hint);
  return code;
}

int run(int argc, char** argv) {
  Globals globals;
  CLI::App app("Millrace: a task queue in your PostgreSQL.", "millrace");
  app.set_version_flag("--version", std::string(version()));
  app.add_option("--database", globals.database, "The database, as libpq takes it; default: the environment, or `millrace dev`")
      ->type_name("URL");
  app.add_option("--schema", globals.schema, "The schema that Millrace lives in")->envname("MILLRACE_SCHEMA")->capture_default_str();
  app.add_flag("--json", globals.json, "Print JSON");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "To begin:\n  millrace dev up          a private PostgreSQL in this folder\n  millrace migrate up      the schema\n"
      "  millrace enqueue greet '{\"name\": \"Ada\"}'\n  millrace worker --queue default=4 --exec greet='cat'\n\n"
      "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused by state.");
  add_migrate(app, globals);
  add_enqueue(app, globals);
  add_task(app, globals);
  add_worker(app, globals);
  add_stats(app, globals);
  add_doctor(app, globals);
  add_dev(app, globals);
  bench::add_commands(app, [&globals] { return globals.url(); });
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    return fail(2, e.what(), "try: millrace --help");
  }
}

}  // namespace
}  // namespace millrace::cli

int main(int argc, char** argv) {
  using namespace millrace;
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const int code = cli::run(argc, argv);
    return std::fflush(stdout) == 0 ? code : 1;
  } catch (const cli::Exit& exit) {
    return exit.code;
  } catch (const InvalidArgument& e) {
    return cli::fail(2, e.what());
  } catch (const NotFound& e) {
    return cli::fail(3, e.what());
  } catch (const StateError& e) {
    return cli::fail(4, e.what());
  } catch (const ConnectionError& e) {
    return cli::fail(1, e.what(), "try: millrace dev up, or name a database with --database");
  } catch (const std::system_error&) {
    return 1;  // standard output was closed: nobody reads us any more
  } catch (const std::exception& e) {
    return cli::fail(1, e.what());
  }
}
