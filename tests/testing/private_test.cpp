#include "testing/kinds.hpp"

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

namespace millrace::test {

TEST_CASE("without a server there is a private cluster, which the databases of a process share") {
  ::unsetenv("MILLRACE_TESTING_SERVER");
  Database one;
  Database other;
  CHECK(one.value("SHOW data_directory") == other.value("SHOW data_directory"));
  CHECK(one.value("SHOW listen_addresses").empty());
  CHECK(one.value("SHOW fsync") == "off");
  CHECK(one.url() != other.url());
  one.client().enqueue("work");
  CHECK(testing::drain(one, [](Worker& worker) {
          worker.handle_raw("work", [](Context&) -> Outcome<std::string> { return std::string(); });
        }).completed == 1);
}

TEST_CASE("the environment names a server") {
  ::setenv("MILLRACE_TESTING_SERVER", database_url().c_str(), 1);
  Database db;
  CHECK(db.value("SHOW data_directory") == OnServer().value("SHOW data_directory"));
  ::unsetenv("MILLRACE_TESTING_SERVER");
}

TEST_CASE("a process that is killed leaves no server and no files behind") {
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipe[1], 1);
    ::close(pipe[0]);
    ::close(pipe[1]);
    ::unsetenv("MILLRACE_TESTING_SERVER");
    ::execl(VICTIM, VICTIM, nullptr);
    ::_exit(127);
  }
  ::close(pipe[1]);
  std::string data;
  for (char c = 0; ::read(pipe[0], &c, 1) == 1 && c != '\n';) data += c;
  ::close(pipe[0]);
  REQUIRE(std::filesystem::path(data).filename() == "data");
  CHECK(std::filesystem::exists(data));
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(eventually(
      [&] { return !std::filesystem::exists(data) && !std::filesystem::exists(std::filesystem::path(data).parent_path().parent_path()); }));
}

}  // namespace millrace::test
