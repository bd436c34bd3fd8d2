// What the commands share: the global options, and how each command is added.
#pragma once

#include <string>
#include <vector>

#include <millrace/client.hpp>

namespace CLI {
class App;
}

namespace millrace::cli {

/// The global options, read when a command runs.
struct Globals {
  std::string database{};
  std::string schema = "millrace";
  bool json = false;
  std::vector<std::string> psql_arguments{};  ///< Of `millrace dev psql`.

  /// Where the database is: --database, MILLRACE_DATABASE or DATABASE_URL, libpq's environment, or the cluster that
  /// `millrace dev up` made in this folder or one above.
  [[nodiscard]] ConnectionString url() const;
  /// A client of that database and schema.
  [[nodiscard]] Client client() const;
};

/// How a command ends, when not by an exception: the exit code. 0 done, 1 failed, 2 usage, 3 not found, 4 refused by state.
struct Exit {
  int code;
};

/// Takes what follows `dev psql` off the command line: psql's arguments are not ours to understand.
[[nodiscard]] std::vector<std::string> take_psql_arguments(int& argc, char** argv);

void add_dead(CLI::App& app, Globals& globals);
void add_dev(CLI::App& app, Globals& globals);
void add_doctor(CLI::App& app, Globals& globals);
void add_enqueue(CLI::App& app, Globals& globals);
void add_kind(CLI::App& app, Globals& globals);
void add_lock(CLI::App& app, Globals& globals);
void add_migrate(CLI::App& app, Globals& globals);
void add_schedule(CLI::App& app, Globals& globals);
void add_stats(CLI::App& app, Globals& globals);
void add_tail(CLI::App& app, Globals& globals);
void add_task(CLI::App& app, Globals& globals);
void add_task_changes(CLI::App& task, Globals& globals);
void add_worker(CLI::App& app, Globals& globals);
void add_worker_control(CLI::App& worker, Globals& globals);

}  // namespace millrace::cli
