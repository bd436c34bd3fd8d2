#include "testing/server.hpp"

#include "base/text.hpp"
#include "postgres/connection.hpp"
#include "postgres/conninfo.hpp"
#include "testing/guard.hpp"

#include <millrace/migrate.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

namespace millrace::testing {
namespace {

namespace fs = std::filesystem;

// In a folder of its own, which every user may pass through: as root, the server runs as another one.
fs::path make_folder() {
  std::string name = (fs::temp_directory_path() / "millrace-testing-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw Error(fmt::format("cannot make {}: {}", name, std::strerror(errno)));
  fs::permissions(name, static_cast<fs::perms>(0755));
  return name;
}

}  // namespace

std::shared_ptr<Server> Server::get(const std::optional<ConnectionString>& given) {
  // Ended by hand, because it takes a connection: what the driver keeps for the process is made by its first one, and so outlives
  // whatever is registered after that.
  static std::mutex mutex;
  static auto& servers = *new std::map<std::string, std::shared_ptr<Server>>;
  const std::lock_guard lock(mutex);
  auto& server = servers[given ? "=" + given->reveal() : std::string()];
  if (!server) server = std::make_shared<Server>(given);
  static const int registered = std::atexit([] { servers.clear(); });
  static_cast<void>(registered);
  return server;
}

Server::Server(std::optional<ConnectionString> given) : given_(std::move(given)), owner_(::getpid()) {
  if (given_) {
    run("SELECT 1");
    return;
  }
  folder_ = make_folder();
  cluster_ = dev::Cluster::in(folder_);
  try {
    // What is here is worth nothing after a crash.
    cluster_->up(dev::Cluster::Settings{{"fsync", "off"},
                                        {"full_page_writes", "off"},
                                        {"synchronous_commit", "off"},
                                        {"max_connections", "300"},
                                        {"max_prepared_transactions", "10"},
                                        {"shared_buffers", "64MB"}});
    lock_ = guard(*cluster_);
  } catch (const std::exception& e) {
    cluster_->destroy();
    fs::remove_all(folder_);
    throw Error(fmt::format("cannot start a private PostgreSQL: {}; to use a server that runs, set MILLRACE_TESTING_SERVER to its address",
                            e.what()));
  }
}

Server::~Server() {
  if (::getpid() != owner_) return;
  try {
    if (cluster_) {
      cluster_->destroy();
      fs::remove_all(folder_);
      if (lock_ >= 0) ::close(lock_);
      return;
    }
    for (const auto& [schema, database] : templates_) drop(database);
  } catch (const std::exception& e) {
    fmt::print(stderr, "millrace::testing: something was left behind: {}\n", e.what());
  }
}

std::string Server::url(const std::string& database) const {
  if (cluster_) return fmt::format("postgresql:///{}?host={}&port=5432&user=millrace", database, cluster_->paths().socket.string());
  auto values = postgres::parse(*given_);
  values["dbname"] = database;
  return postgres::keywords({}, values);
}

void Server::run(const std::string& sql) const {
  const ConnectionString at = cluster_ ? cluster_->url() : *given_;
  postgres::Connection(postgres::Dial{.url = at, .application = "millrace testing", .schema = ""}).script(sql);
}

std::string Server::fresh_name(const char* what) {
  // Another process, perhaps on another machine, may use the same server.
  static const unsigned random = std::random_device{}();
  return fmt::format("millrace_{}_{}_{:08x}_{}", what, ::getpid(), random, ++names_);
}

std::string Server::create(const std::string& schema) {
  const std::lock_guard lock(mutex_);
  auto found = templates_.find(schema);
  if (found == templates_.end()) {
    const std::string name = fresh_name("template");
    run(fmt::format("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", name));
    try {
      Migrator(url(name), schema).up();
    } catch (...) {
      drop(name);
      throw;
    }
    found = templates_.emplace(schema, name).first;
  }
  std::string name = fresh_name("test");
  run(fmt::format("CREATE DATABASE {} TEMPLATE {}", name, found->second));
  return name;
}

void Server::drop(const std::string& database) { run(fmt::format("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)); }

}  // namespace millrace::testing
