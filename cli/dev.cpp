// millrace dev up | down | status | psql | url: the private cluster of a project's folder.
#include "dev/cluster.hpp"

#include "cli/app.hpp"
#include "dev/server_binaries.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::cli {
namespace {

using dev::Cluster;
using Json = nlohmann::ordered_json;

Cluster existing() {
  const auto here = std::filesystem::current_path();
  if (auto cluster = Cluster::find(here)) return *cluster;
  throw NotFound(fmt::format("there is no dev cluster in {} or above it; run: millrace dev up", here.string()));
}

Cluster running() {
  Cluster cluster = existing();
  if (!cluster.status().running) {
    throw StateError(fmt::format("the dev cluster in {} does not run; run: millrace dev up", cluster.paths().folder.string()));
  }
  return cluster;
}

Json describe(const Cluster& cluster) {
  const auto status = cluster.status();
  return {{"folder", cluster.paths().folder.string()},
          {"running", status.running},
          {"pid", status.running ? Json(status.pid) : Json()},
          {"url", cluster.url().reveal()},
          {"data", cluster.paths().data.string()}};
}

void up(const Globals& globals) {
  const auto here = std::filesystem::current_path();
  Cluster cluster = Cluster::find(here).value_or(Cluster::in(here));
  const bool started = cluster.up();
  if (globals.json) {
    Json all = describe(cluster);
    all["started"] = started;
    fmt::print("{}\n", all.dump());
    return;
  }
  fmt::print("{} for {} and below\n{}\n", started ? "PostgreSQL started" : "PostgreSQL already runs", cluster.paths().folder.string(),
             cluster.url().reveal());
}

void down(const Globals& globals, bool destroy) {
  Cluster cluster = existing();
  const bool ran = cluster.status().running;
  if (destroy) {
    cluster.destroy();
  } else {
    cluster.down();
  }
  if (globals.json) {
    fmt::print("{}\n", Json{{"folder", cluster.paths().folder.string()}, {"stopped", ran}, {"destroyed", destroy}}.dump());
  } else {
    fmt::print("{}\n", destroy ? "stopped and deleted" : ran ? "stopped" : "it did not run");
  }
}

void status(const Globals& globals) {
  const Cluster cluster = existing();
  const auto now = cluster.status();
  if (globals.json) {
    fmt::print("{}\n", describe(cluster).dump());
    return;
  }
  fmt::print("{}\n", now.running ? fmt::format("runs, process {}", now.pid) : "stopped");
  fmt::print("folder  {}\ndata    {}\nurl     {}\n", cluster.paths().folder.string(), cluster.paths().data.string(),
             cluster.url().reveal());
}

// psql takes this process over, so that the terminal, its signals and its exit status are psql's.
[[noreturn]] void psql(const std::vector<std::string>& arguments) {
  const Cluster cluster = running();
  std::vector<std::string> texts{dev::find_server_binaries().program("psql"), "--dbname", cluster.url().reveal()};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(texts.size() + 1);
  for (std::string& text : texts) argv.push_back(text.data());
  argv.push_back(nullptr);
  std::fflush(stdout);
  ::execv(argv[0], argv.data());
  throw Error(fmt::format("cannot run {}: {}", texts[0], std::strerror(errno)));
}

}  // namespace

std::vector<std::string> take_psql_arguments(int& argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::string_view(argv[i]) != "dev" || std::string_view(argv[i + 1]) != "psql") continue;
    int first = i + 2;
    // Help is ours: `millrace dev psql -- --help` asks psql for its own.
    if (first < argc && (std::string_view(argv[first]) == "--help" || std::string_view(argv[first]) == "-h")) return {};
    if (first < argc && std::string_view(argv[first]) == "--") ++first;
    std::vector<std::string> arguments(argv + first, argv + argc);
    argc = i + 2;
    return arguments;
  }
  return {};
}

void add_dev(CLI::App& app, Globals& globals) {
  CLI::App* dev = app.add_subcommand("dev", "A private PostgreSQL in ./.millrace, used by every command below this folder");
  dev->require_subcommand(1);

  dev->add_subcommand("up", "Make it if need be, and start it")->callback([&globals] { up(globals); });

  const auto destroy = std::make_shared<bool>(false);
  CLI::App* stop = dev->add_subcommand("down", "Stop it");
  stop->add_flag("--destroy", *destroy, "Also delete it, with all its data");
  stop->callback([&globals, destroy] { down(globals, *destroy); });

  dev->add_subcommand("status", "Say whether it runs, and where it is")->callback([&globals] { status(globals); });
  dev->add_subcommand("url", "Print its address, for other programs")->callback([&globals] {
    const std::string url = existing().url().reveal();
    fmt::print("{}\n", globals.json ? Json{{"url", url}}.dump() : url);
  });

  CLI::App* shell = dev->add_subcommand("psql", "Open psql on it; what follows, with or without a -- before it, is psql's");
  shell->footer("Example:\n  millrace dev psql -- -c 'SELECT * FROM millrace.tasks'");
  shell->callback([&globals] { psql(globals.psql_arguments); });
}

}  // namespace millrace::cli
