#include "dev/cluster.hpp"

#include "base/text.hpp"
#include "dev/cluster_files.hpp"
#include "dev/server_binaries.hpp"
#include "postgres/connection.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

namespace millrace::dev {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto patience = 60s;

std::string address(const ClusterPaths& paths, const char* database) {
  return fmt::format("postgresql:///{}?host={}&port=5432&user=millrace", database, paths.socket.string());
}

// Only the server's user, and root, can reach the socket at all.
constexpr const char* access_rules = "local all all trust\nlocal replication all trust\n";

std::string settings_text(const ClusterPaths& paths, const Cluster::Settings& settings) {
  Cluster::Settings all = settings;
  all["listen_addresses"] = "";
  all["port"] = "5432";
  all["unix_socket_directories"] = paths.socket;
  all.emplace("max_connections", "200");
  std::string text = "# Written by millrace dev at each start with settings; put your own into postgresql.conf.\n";
  for (const auto& [name, value] : all) text += fmt::format("{} = {}\n", name, base::quote_literal(value));
  return text;
}

std::optional<int> major_of(const fs::path& data) {
  std::ifstream file(data / "PG_VERSION");
  int major = 0;
  if (file >> major) return major;
  return {};
}

void create_database(const ClusterPaths& paths) {
  postgres::Connection connection({.url = address(paths, "postgres"), .application = "millrace dev"});
  if (connection.run("SELECT FROM pg_database WHERE datname = 'millrace'").size() == 0) connection.script("CREATE DATABASE millrace");
}

}  // namespace

std::optional<Cluster> Cluster::find(const fs::path& start) {
  for (fs::path folder = fs::canonical(start);; folder = folder.parent_path()) {
    if (auto paths = read_record(folder)) return Cluster(std::move(*paths));
    if (folder == folder.root_path()) return {};
  }
}

Cluster Cluster::in(const fs::path& folder) {
  const fs::path place = fs::canonical(folder);
  if (auto paths = read_record(place)) return Cluster(std::move(*paths));
  return Cluster(default_paths(place));
}

// The data folder gets its name when initdb is through, so a half-made one is never taken for a cluster.
void Cluster::make(const std::optional<SystemUser>& as) {
  make_private_folder(paths_.data, as);
  if (!can_enter(paths_.data, as)) {
    fs::remove_all(paths_.data);
    paths_.data = data_elsewhere(paths_.folder);
    make_private_folder(paths_.data, as);
  }
  const fs::path fresh = paths_.data.native() + ".new";
  fs::remove_all(fresh);
  make_private_folder(fresh, as);
  const ServerBinaries binaries = find_server_binaries();
  const Finished made = run_program({.argv = {binaries.program("initdb"), "-D", fresh, "-U", "millrace", "-E", "UTF8", "--locale=C.UTF-8",
                                              "-A", "trust", "--no-sync", "--no-instructions"},
                                     .as = as});
  if (made.status != 0) throw Error(fmt::format("initdb failed: {}", made.err.empty() ? made.out : made.err));
  write_file(fresh / "pg_hba.conf", access_rules, as);
  std::ofstream(fresh / "postgresql.conf", std::ios::app) << "\ninclude_if_exists = 'millrace.conf'\n";
  fs::remove_all(paths_.data);
  fs::rename(fresh, paths_.data);
}

bool Cluster::up(const std::optional<Settings>& settings) {
  make_millrace_folder(paths_.folder);
  const FolderLock lock(paths_.folder);
  // Somebody else may have made it since we looked.
  if (auto paths = read_record(paths_.folder)) paths_ = std::move(*paths);
  const auto as = server_user();
  if (!major_of(paths_.data)) make(as);
  write_record(paths_);
  // A server without its socket (somebody cleaned /tmp) is of no use.
  if (server().wait_until_ready(patience) && fs::exists(paths_.socket / ".s.PGSQL.5432")) return false;
  server().stop(Stop::fast, patience);
  make_private_folder(paths_.socket, as);
  if (settings || !fs::exists(paths_.data / "millrace.conf")) {
    write_file(paths_.data / "millrace.conf", settings_text(paths_, settings.value_or(Settings{})), as);
  }
  server().start(find_server_binaries(major_of(paths_.data)), as, patience);
  create_database(paths_);
  return true;
}

bool Cluster::down(Stop how) {
  if (!fs::exists(paths_.folder / ".millrace")) return false;
  const FolderLock lock(paths_.folder);
  return server().stop(how, patience);
}

void Cluster::destroy() {
  if (!fs::exists(paths_.folder / ".millrace")) return;
  const FolderLock lock(paths_.folder);
  server().stop(Stop::immediate, patience);
  for (const fs::path& path : {paths_.data, paths_.socket, paths_.folder / ".millrace"}) fs::remove_all(path);
}

ClusterStatus Cluster::status() const {
  const auto pid = server().pid();
  return {.exists = major_of(paths_.data).has_value(), .running = pid && server().is_ready(), .pid = pid.value_or(0)};
}

ConnectionString Cluster::url() const { return address(paths_, "millrace"); }

}  // namespace millrace::dev
