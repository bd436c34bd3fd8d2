// Where the output goes when nobody takes it.
#include "cli/command.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

using namespace millrace::test;

namespace {

const Words printing[] = {{"task", "list"},     {"task", "list", "--json"}, {"stats"},  {"migrate", "status"},
                          {"migrate", "print"}, {"enqueue", "greet"},       {"--help"}, {"--version"}};

void check_all(int output, const std::string& said) {
  Schema schema;
  for (int i = 0; i < 20; ++i) enqueue(schema, {"greet"});
  for (const Words& words : printing) {
    CAPTURE(words[0]);
    const Ended ended = run(schema, words, {.output = output});
    INFO(ended.err);
    CHECK(ended.code == 1);
    CHECK(ended.out == "");
    if (said.empty()) {
      CHECK(ended.err == "");
    } else {
      check_refused(ended, 1, said);
    }
  }
  // The queue is as it would be if somebody had listened.
  CHECK(schema.number("SELECT count(*) FROM tasks") == 21);
  CHECK(run(schema, {"doctor"}).code == 0);
}

}  // namespace

TEST_CASE("with a closed standard output a command fails and says so") { check_all(-1, "standard output"); }

TEST_CASE("with a full disk a command fails and says so") {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(full >= 0);
  check_all(full, "No space left on device");
  ::close(full);
}

TEST_CASE("into a pipe that nobody reads any more a command fails silently") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  ::close(ends[0]);
  check_all(ends[1], "");
  ::close(ends[1]);
}

TEST_CASE("with a closed standard error the exit code still tells") {
  Schema schema;
  for (const int error : {-1, ::open("/dev/full", O_WRONLY | O_CLOEXEC)}) {
    CHECK(run(schema, {"task", "show", "1"}, {.error = error}).code == 3);
    CHECK(run(schema, {"task", "show", "one"}, {.error = error}).code == 2);
    CHECK(run(schema, {"nonsense"}, {.error = error}).code == 2);
    CHECK(run(schema, {"stats"}, {.error = error}).code == 0);
  }
}

TEST_CASE("migrate up does all its work, also when nobody can read about it") {
  Schema schema;
  REQUIRE(run(schema, {"migrate", "down", "--to", "1"}).code == 0);
  const Ended ended = run(schema, {"migrate", "up"}, {.output = -1});
  CHECK(ended.code == 1);
  CHECK(run(schema, {"migrate", "up"}).out == "nothing to apply\n");
}

TEST_CASE("what fails beside the output is not said to be the output") {
  std::string name = (std::filesystem::temp_directory_path() / "millrace-cli-XXXXXX").string();
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  const int folder = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(folder >= 0);
  REQUIRE(::rmdir(name.c_str()) == 0);
  // Without an address the command looks for a cluster from its folder upwards, and this one is nowhere any more.
  const Ended ended = run_plain({"stats"}, {.folder = fmt::format("/proc/self/fd/{}", folder), .environment = {"MILLRACE_DATABASE="}});
  check_refused(ended, 1, "No such file or directory");
  CHECK(ended.err.find("standard output") == std::string::npos);
  ::close(folder);
}
