// millrace migrate up | down | status | print
#include <millrace/migrate.hpp>

#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/duration.hpp"
#include "cli/table.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <nlohmann/json.hpp>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

namespace millrace::cli {
namespace {

using Json = nlohmann::ordered_json;

// A migration's file name has four digits for it; the library knows which there are.
constexpr int number_max = 9999;

struct Range {
  std::optional<std::string> from{}, to{};

  [[nodiscard]] int first() const { return from ? parse_int("--from", *from, 0, number_max) : 0; }
  [[nodiscard]] std::optional<int> last() const { return to ? std::optional(parse_int("--to", *to, 0, number_max)) : std::nullopt; }
};

std::string title(int version, const std::string& name) { return fmt::format("{:04} {}", version, name); }

// Says what happens as it happens, and gathers it for --json.
class Reporter {
 public:
  explicit Reporter(const Globals& globals) : globals_(globals) {}

  void operator()(MigrationStep step, const Migration* migration) {
    switch (step) {
      case MigrationStep::waiting:
        if (migration == nullptr) {
          fmt::print(stderr, "waiting: another migrator is at work on this schema\n");
        } else {
          fmt::print(stderr, "waiting: somebody holds a lock that {} needs\n", title(migration->version, migration->name));
        }
        return;
      case MigrationStep::applied: return done("applied", *migration);
      case MigrationStep::adopted: return done("adopted", *migration);
      case MigrationStep::reverted: return done("reverted", *migration);
      case MigrationStep::applying:
      case MigrationStep::reverting: return;
    }
  }

  void finish(const char* if_nothing) const {
    if (globals_.json) {
      fmt::print("{}\n", Json{{"schema", globals_.schema}, {"migrations", all_}}.dump());
    } else if (all_.empty()) {
      fmt::print("{}\n", if_nothing);
    }
  }

 private:
  void done(const char* what, const Migration& migration) {
    all_.push_back({{"version", migration.version}, {"name", migration.name}, {"done", what}});
    if (globals_.json) return;
    fmt::print("{} {}\n", what, title(migration.version, migration.name));
    std::fflush(stdout);
  }

  const Globals& globals_;
  Json all_ = Json::array();
};

const char* state_of(const MigrationState& state) {
  if (!state.known) return "unknown";
  if (!state.applied_at) return "pending";
  return state.changed ? "changed" : "applied";
}

void print_status(const Globals& globals) {
  const auto states = Migrator(globals.url(), globals.schema).status();
  if (globals.json) {
    Json all = Json::array();
    for (const MigrationState& state : states) {
      all.push_back({{"version", state.version}, {"name", state.name}, {"state", state_of(state)}, {"applied_at", nullptr}});
      if (state.applied_at) all.back()["applied_at"] = base::format_time(*state.applied_at);
    }
    fmt::print("{}\n", all.dump());
    return;
  }
  Table table({"VERSION", "NAME", "STATE", "APPLIED AT"});
  for (const MigrationState& state : states) {
    table.add(
        {fmt::format("{:04}", state.version), state.name, state_of(state), state.applied_at ? base::format_time(*state.applied_at) : ""});
  }
  table.print();
}

}  // namespace

void add_migrate(CLI::App& app, Globals& globals) {
  CLI::App* migrate = app.add_subcommand("migrate", "Bring the schema to this binary's version, or back");
  migrate->require_subcommand(1);

  const auto range = std::make_shared<Range>();
  CLI::App* up = migrate->add_subcommand("up", "Apply what is pending");
  up->add_option("--to", range->to, "The last migration to apply; default: all")->type_name("INT");
  up->callback([&globals, range] {
    const auto to = range->last();
    Reporter report(globals);
    Migrator(globals.url(), globals.schema).up(to, std::ref(report));
    report.finish("nothing to apply");
  });

  CLI::App* down = migrate->add_subcommand("down", "Revert migrations, and delete what is stored in what they made");
  down->add_option("--to", range->to, "The last migration to keep; 0 reverts everything")->required()->type_name("INT");
  down->callback([&globals, range] {
    const int to = parse_int("--to", range->to.value(), 0, number_max);
    Reporter report(globals);
    Migrator(globals.url(), globals.schema).down(to, std::ref(report));
    report.finish("nothing to revert");
  });

  CLI::App* status = migrate->add_subcommand("status", "List the migrations, applied and pending");
  status->callback([&globals] { print_status(globals); });

  CLI::App* print = migrate->add_subcommand("print", "Print SQL that does what up does, to be run by psql; needs no database");
  print->add_option("--from", range->from, "Print those after this one; default: 0")->type_name("INT");
  print->add_option("--to", range->to, "The last one to print; default: all")->type_name("INT");
  print->callback(
      [&globals, range] { fmt::print("{}", Migrator(ConnectionString(), globals.schema).print(range->first(), range->last())); });
}

}  // namespace millrace::cli
