// `millrace dev` as a library: each test has clusters of its own, in folders of its own.
#include "dev/cluster.hpp"

#include "postgres/connection.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

using namespace millrace;
using dev::Cluster;
using dev::Stop;

namespace fs = std::filesystem;

namespace {

// A project's folder with a subfolder, and no cluster left at the end.
class Project {
 public:
  explicit Project(mode_t mode = 0755, const std::string& name = "project") {
    std::string pattern = (fs::temp_directory_path() / "millrace-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    top_ = fs::canonical(pattern);
    folder_ = top_ / name;
    fs::create_directories(folder_ / "a" / "b");
    ::chmod(top_.c_str(), mode);
  }
  ~Project() {
    try {
      cluster().destroy();
      fs::remove_all(top_);
    } catch (const std::exception& error) {
      MESSAGE(error.what());
    }
  }
  Project(const Project&) = delete;
  Project& operator=(const Project&) = delete;
  [[nodiscard]] const fs::path& folder() const { return folder_; }
  [[nodiscard]] Cluster cluster() const { return Cluster::in(folder_); }

 private:
  fs::path top_;
  fs::path folder_;
};

// For tests of anything but durability: a busy disk makes each fsync of a fresh cluster's files slow.
const Cluster::Settings quick{{"fsync", "off"}};

std::string ask(const Cluster& cluster, const std::string& sql) {
  postgres::Connection connection({.url = cluster.url()});
  return std::string(connection.script(sql).text(0, 0));
}

mode_t mode_of(const fs::path& path) {
  struct stat about {};
  REQUIRE(::stat(path.c_str(), &about) == 0);
  return about.st_mode & 0777;
}

}  // namespace

TEST_CASE("up makes a durable UTF-8 server on a socket of its own, once") {
  const Project project;
  Cluster cluster = project.cluster();
  CHECK_FALSE(cluster.status().exists);
  CHECK_FALSE(Cluster::find(project.folder()));
  CHECK(cluster.up());
  CHECK_FALSE(cluster.up());
  CHECK(cluster.status().running);
  CHECK(ask(cluster, "SELECT current_user || ' ' || current_database()") == "millrace millrace");
  CHECK(ask(cluster, "SHOW server_encoding") == "UTF8");
  CHECK(ask(cluster, "SHOW listen_addresses").empty());
  CHECK(ask(cluster, "SELECT current_setting('fsync') || current_setting('synchronous_commit')") == "onon");
  CHECK(ask(cluster, "SELECT lower('ÄÖ')") == "äö");
  CHECK(mode_of(cluster.paths().socket) == 0700);
  CHECK(cluster.paths().data == project.folder() / ".millrace" / "data");
  // What sun_path holds ends at 107 bytes.
  CHECK((cluster.paths().socket / ".s.PGSQL.5432").native().size() < sizeof(sockaddr_un::sun_path));
}

TEST_CASE("it is found from any folder below, and from no other") {
  const Project project, elsewhere;
  project.cluster().up(quick);
  const auto found = Cluster::find(project.folder() / "a" / "b");
  REQUIRE(found);
  CHECK(found->paths().folder == project.folder());
  CHECK(found->url().reveal() == project.cluster().url().reveal());
  CHECK_FALSE(Cluster::find(project.folder().parent_path()));
  CHECK_FALSE(Cluster::find(elsewhere.folder()));
}

TEST_CASE("data outlives down, and goes with destroy") {
  const Project project;
  Cluster cluster = project.cluster();
  CHECK_FALSE(cluster.down());
  cluster.up(quick);
  ask(cluster, "CREATE TABLE kept AS SELECT 1 AS n; SELECT 'made'");
  CHECK(cluster.down());
  CHECK_FALSE(cluster.down());
  CHECK(cluster.status().exists);
  CHECK_FALSE(cluster.status().running);
  CHECK_THROWS_AS(ask(cluster, "SELECT 1"), ConnectionError);
  CHECK(cluster.up());
  CHECK(ask(cluster, "SELECT n FROM kept") == "1");
  const auto paths = cluster.paths();
  cluster.destroy();
  CHECK_FALSE(fs::exists(paths.data));
  CHECK_FALSE(fs::exists(paths.socket));
  CHECK_FALSE(fs::exists(project.folder() / ".millrace"));
  CHECK_FALSE(Cluster::find(project.folder()));
}

TEST_CASE("after kill -9 of the postmaster, and after a crash, up starts it again") {
  const Project project;
  Cluster cluster = project.cluster();
  cluster.up(quick);
  ask(cluster, "CREATE TABLE kept AS SELECT 1 AS n; SELECT 'made'");
  for (const Stop how : {Stop::kill, Stop::immediate, Stop::kill}) {
    CHECK(cluster.down(how));
    CHECK_FALSE(cluster.status().running);
    CHECK(cluster.up());
    CHECK(ask(cluster, "SELECT n FROM kept") == "1");
  }
}

TEST_CASE("a pid file whose number is some other process's now is no server") {
  const Project project;
  Cluster cluster = project.cluster();
  cluster.up(quick);
  const fs::path pid_file = cluster.paths().data / "postmaster.pid";
  std::ifstream in(pid_file);
  std::string left_behind{std::istreambuf_iterator<char>(in), {}};
  cluster.down();
  left_behind.replace(0, left_behind.find('\n'), std::to_string(::getpid()));
  std::ofstream(pid_file) << left_behind;
  struct stat data {};
  REQUIRE(::stat(cluster.paths().data.c_str(), &data) == 0);
  REQUIRE(::chown(pid_file.c_str(), data.st_uid, data.st_gid) == 0);
  CHECK_FALSE(cluster.status().running);
  CHECK_FALSE(cluster.down());  // We are still here.
  CHECK(cluster.up());
}

TEST_CASE("a server that lost its socket is started again") {
  const Project project;
  Cluster cluster = project.cluster();
  cluster.up(quick);
  fs::remove_all(cluster.paths().socket);
  CHECK(cluster.up());
  CHECK(ask(cluster, "SELECT 1") == "1");
}

TEST_CASE("many ups at once make one cluster") {
  const Project project;
  std::atomic<int> started = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { started += project.cluster().up(quick) ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(started == 1);
  CHECK(ask(project.cluster(), "SELECT 1") == "1");
}

TEST_CASE("settings hold from the next start on, until others come") {
  const Project project;
  Cluster cluster = project.cluster();
  cluster.up(Cluster::Settings{{"fsync", "off"}, {"cluster_name", "it's a test"}});
  CHECK(ask(cluster, "SHOW fsync") == "off");
  CHECK(ask(cluster, "SHOW cluster_name") == "it's a test");
  cluster.down();
  cluster.up();
  CHECK(ask(cluster, "SHOW fsync") == "off");
  cluster.down();
  cluster.up(Cluster::Settings{});
  CHECK(ask(cluster, "SHOW fsync") == "on");
  cluster.down();
  CHECK_THROWS_WITH_AS(cluster.up(Cluster::Settings{{"no_such_setting", "1"}}), doctest::Contains("no_such_setting"), Error);
  CHECK(cluster.up(Cluster::Settings{}));
}

TEST_CASE("a folder's name may hold anything") {
  const Project project(0755, "a$(touch x) `b` 'c\" \\ ü%20");
  Cluster cluster = project.cluster();
  cluster.up(quick);
  CHECK(ask(cluster, "SELECT 1") == "1");
  CHECK(cluster.down());
}

TEST_CASE("where the server's user cannot enter, the data goes to /var/lib/millrace-dev") {
  if (::geteuid() != 0) {
    MESSAGE("not root: skipped");
    return;
  }
  const Project project(0700);
  Cluster cluster = project.cluster();
  cluster.up(quick);
  CHECK(cluster.paths().data.parent_path() == "/var/lib/millrace-dev");
  const auto found = Cluster::find(project.folder() / "a");
  REQUIRE(found);
  CHECK(found->paths().data == cluster.paths().data);
  CHECK(ask(*found, "SELECT 1") == "1");
  cluster.down(Stop::kill);
  CHECK(project.cluster().up());
  const fs::path data = cluster.paths().data;
  cluster.destroy();
  CHECK_FALSE(fs::exists(data));
}

TEST_CASE("a record that names other people's folders is not believed") {
  const Project project;
  fs::create_directory(project.folder() / ".millrace");
  const fs::path record = project.folder() / ".millrace" / "cluster.json";
  for (const char* text : {R"({"data": "/etc", "socket": "/tmp/millrace-1"})", R"({"data": "..", "socket": "/tmp/millrace-1"})",
                           R"({"data": "data", "socket": "/etc"})", R"({"data": "data", "socket": "/tmp/millrace-1/../../etc"})",
                           R"({"data": "/var/lib/millrace-dev/..", "socket": "/tmp/millrace-1"})", "{", "", "[]"}) {
    CAPTURE(text);
    std::ofstream(record) << text;
    CHECK_THROWS_WITH_AS((void)Cluster::find(project.folder()), doctest::Contains("is damaged"), Error);
  }
  fs::remove_all(project.folder() / ".millrace");
}

TEST_CASE("somebody else's cluster is passed over") {
  if (::geteuid() != 0) {
    MESSAGE("not root: skipped");
    return;
  }
  const Project project;
  const fs::path folder = project.folder() / ".millrace";
  fs::create_directory(folder);
  std::ofstream(folder / "cluster.json") << R"({"data": "data", "socket": "/tmp/millrace-1"})";
  REQUIRE(Cluster::find(project.folder()));
  REQUIRE(::chown(folder.c_str(), 12345, 12345) == 0);
  CHECK_FALSE(Cluster::find(project.folder()));
  CHECK_THROWS_WITH_AS(project.cluster().up(), doctest::Contains("belongs to another user"), Error);
  fs::remove_all(folder);
}
