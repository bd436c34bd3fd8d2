#include "bench.hpp"
#include "cli/app.hpp"
#include "cli/failure.hpp"
#include "dev/cluster.hpp"

#include <millrace/error.hpp>
#include <millrace/version.hpp>

#include <fcntl.h>
#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

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

Client Globals::client() const { return Client({.database = url(), .schema = schema}); }

namespace {

// A standard file that is closed would be given to the first connection, and what we print would go to the server. These
// stand-ins are opened the wrong way round, so that their use fails as that of a closed file does.
void occupy_standard_files() {
  const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", modes[fd]) != fd) std::_Exit(1);
  }
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
  add_migrate(app, globals);
  add_enqueue(app, globals);
  add_task(app, globals);
  add_tail(app, globals);
  add_dead(app, globals);
  add_schedule(app, globals);
  add_kind(app, globals);
  add_lock(app, globals);
  add_worker(app, globals);
  add_stats(app, globals);
  add_doctor(app, globals);
  add_dev(app, globals);
  bench::add_commands(app, [&globals] { return globals.url(); });
  // After the subcommands, which would inherit it.
  app.footer(
      "To begin:\n  millrace dev up          a private PostgreSQL in this folder\n  millrace migrate up      the schema\n"
      "  millrace enqueue greet '{\"name\": \"Ada\"}'\n  millrace worker --queue default=4 --exec greet='cat'\n\n"
      "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused by state.");
  globals.psql_arguments = take_psql_arguments(argc, argv);
  try {
    app.parse(argc, argv);
    return flush_output(0);
  } catch (const CLI::ParseError& e) {
    return explain_usage(app, e);
  } catch (const InvalidArgument& e) {
    return explain_input(app, e);
  } catch (const SchemaError& e) {
    return explain_schema(e, globals);
  }
}

}  // namespace
}  // namespace millrace::cli

int main(int argc, char** argv) {
  using namespace millrace;
  cli::occupy_standard_files();
  std::signal(SIGPIPE, SIG_IGN);
  // A parent of ours may ignore it, and then nobody tells how the programs that we run ended.
  std::signal(SIGCHLD, SIG_DFL);
  try {
    return cli::run(argc, argv);
  } catch (const cli::Exit& exit) {
    return exit.code;
  } catch (const InvalidArgument& e) {
    return cli::fail(2, e.what());
  } catch (const NotFound& e) {
    return cli::explain_missing(e);
  } catch (const StateError& e) {
    return cli::fail(4, e.what());
  } catch (const ConnectionError& e) {
    return cli::explain_connection(e);
  } catch (const std::system_error& e) {
    // fmt throws it when it cannot print, and then the file remembers. Anything else has nothing to do with the output.
    if (std::ferror(stdout) != 0) return cli::fail_output(e.code().value());
    return cli::fail(1, e.what());
  } catch (const std::exception& e) {
    return cli::fail(1, e.what());
  }
}
