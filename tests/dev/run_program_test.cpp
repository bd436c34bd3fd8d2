#include "dev/run_program.hpp"

#include "dev/server_binaries.hpp"

#include <millrace/error.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>

using namespace millrace;
using dev::run_program;

TEST_CASE("a program's output and exit status come back") {
  const auto finished = run_program({.argv = {"/bin/sh", "-c", "echo out; echo err >&2; exit 7"}});
  CHECK(finished.status == 7);
  CHECK(finished.out == "out\n");
  CHECK(finished.err == "err\n");
  CHECK(run_program({.argv = {"/bin/sh", "-c", "kill -9 $$"}}).status == 128 + 9);
}

TEST_CASE("arguments reach it byte for byte, without a shell") {
  const auto finished = run_program({.argv = {"/usr/bin/printf", "%s|", "a b", "$(id)", "'\"\\", ""}});
  CHECK(finished.out == "a b|$(id)|'\"\\||");
}

TEST_CASE("much output on both streams does not block") {
  const auto finished =
      run_program({.argv = {"/bin/sh", "-c", "head -c 1000000 /dev/zero >&2; head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2"}});
  CHECK(finished.out.size() == 3'000'000);
  CHECK(finished.err.size() == 2'000'000);
}

TEST_CASE("what cannot be run is an error") {
  CHECK_THROWS_WITH_AS((void)run_program({.argv = {"/nonexistent/program"}}), doctest::Contains("No such file"), Error);
}

TEST_CASE("the caller's PG variables do not reach it") {
  ::setenv("PGDATABASE", "elsewhere", 1);
  CHECK(run_program({.argv = {"/bin/sh", "-c", "echo ${PGDATABASE-unset}"}}).out == "unset\n");
  ::unsetenv("PGDATABASE");
}

TEST_CASE("as root, another user is taken on whole") {
  if (::geteuid() != 0) {
    MESSAGE("not root: skipped");
    return;
  }
  const auto user = dev::find_user("postgres");
  REQUIRE(user);
  const auto finished = run_program({.argv = {"/bin/sh", "-c", "id -un; id -G; pwd; echo $HOME"}, .as = user});
  CHECK(finished.out.starts_with("postgres\n" + std::to_string(user->gid)));
  CHECK(finished.out.ends_with("\n/\n" + user->home + "\n"));
  CHECK(finished.out.find(" 0\n") == std::string::npos);  // root's group is gone
  CHECK_FALSE(dev::find_user("no-such-user-here"));
}

TEST_CASE("the server's programs are found, all in one folder") {
  const auto binaries = dev::find_server_binaries();
  CHECK(binaries.major >= 15);
  for (const char* name : {"initdb", "postgres", "psql"}) CHECK(std::filesystem::exists(binaries.program(name)));
  CHECK(dev::find_server_binaries(binaries.major).folder == binaries.folder);
  CHECK_THROWS_WITH_AS((void)dev::find_server_binaries(7), doctest::Contains("postgresql-7"), Error);
}
