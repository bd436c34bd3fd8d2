// millrace lock list | holder | acquire | extend | release | run
#include "cli/command.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>

using namespace millrace::test;

namespace {

std::int64_t held(Schema& schema) { return schema.number("SELECT count(*) FROM held_locks"); }

}  // namespace

TEST_CASE("a lock is acquired, looked at, extended and released from the command line") {
  Schema schema;
  CHECK(run(schema, {"lock", "list"}).out == "no lock is held; millrace lock run NAME -- COMMAND holds one while a command runs\n");
  check_refused(run(schema, {"lock", "holder", "door"}), 3, "nobody holds lock \"door\"");
  const Ended acquired = run(schema, {"lock", "acquire", "door", "--owner", "ada"});
  CHECK(acquired.code == 0);
  const std::string token = acquired.out.substr(0, acquired.out.size() - 1);
  CHECK(run(schema, {"lock", "acquire", "door", "--owner", "ada"}).out == acquired.out);
  check_refused(run(schema, {"lock", "acquire", "door"}), 4, "lock \"door\" could not be acquired: ada has it until ");
  const auto other = run_json(schema, {"lock", "acquire", "window", "--ttl", "1h"});
  CHECK(other["name"] == "window");
  CHECK(other["token"] > std::stoll(token));

  CHECK(run_json(schema, {"lock", "holder", "door"})["token"] == std::stoll(token));
  CHECK(run(schema, {"lock", "holder", "door"}).out.find("ada holds it with token " + token + " until ") == 0);
  const auto both = run_lines(schema, {"lock", "list"});
  REQUIRE(both.size() == 2);
  CHECK(both[0]["name"] == "door");
  CHECK(both[1]["owner"] == other["owner"]);
  CHECK(run(schema, {"lock", "list"}).out.find("door    ada ") != std::string::npos);

  CHECK(run_json(schema, {"lock", "extend", "door", token, "--ttl", "1d"})["token"] == std::stoll(token));
  CHECK(schema.number("SELECT (expires_at > clock() + interval '23 hours')::int FROM lock_holder('door')") == 1);
  check_refused(run(schema, {"lock", "extend", "window", token}), 4, "lock \"window\" is not held with token " + token);
  check_refused(run(schema, {"lock", "release", "window", token}), 4, "lock \"window\" was not held with token " + token);
  CHECK(run(schema, {"lock", "release", "door", token}).out == "lock \"door\" is released\n");
  check_refused(run(schema, {"lock", "release", "door", token}), 4, "was not held");
  CHECK(held(schema) == 1);
}

TEST_CASE("what is out of range is refused by its name") {
  Schema schema;
  check_refused(run(schema, {"lock"}), 2, "a command is missing");
  check_refused(run(schema, {"lock", "acquire", ""}), 2, "name");
  check_refused(run(schema, {"lock", "acquire", "a", "--ttl", "999ms"}), 2, "ttl is 999 ms; allowed is 1 second to 1 day");
  check_refused(run(schema, {"lock", "acquire", "a", "--ttl", "30"}), 2, "--ttl");
  check_refused(run(schema, {"lock", "acquire", "a", "--wait", "366d"}), 2, "wait");
  check_refused(run(schema, {"lock", "acquire", "a", "--owner", std::string(129, 'x')}), 2, "owner");
  check_refused(run(schema, {"lock", "extend", "a", "x"}), 2, "token is \"x\"");
  check_refused(run(schema, {"lock", "release", "a"}), 2, "token");
  check_refused(run(schema, {"lock", "run", "a"}), 2, "command is required");
  check_refused(run(schema, {"lock", "run", "a", "--", "no-such-command"}), 127, "cannot run no-such-command");
  check_refused(run(schema, {"lock", "run", "a", "--", "/dev/null"}), 126, "cannot run /dev/null");
  CHECK(held(schema) == 0);
}

TEST_CASE("lock run holds the lock while its command runs, and ends as that does") {
  Schema schema;
  const Ended ended =
      run(schema, {"lock", "run", "door", "--", "sh", "-c", "cat; echo $MILLRACE_LOCK_NAME $MILLRACE_SCHEMA --json; exit 7"},
          {.input = "hello "});
  CHECK(ended.code == 7);
  CHECK(ended.out == "hello door " + schema.name() + " --json\n");
  CHECK(ended.err.empty());
  CHECK(run(schema, {"lock", "run", "door", "--", "sh", "-c", "kill -9 $$"}).code == 137);
  CHECK(held(schema) == 0);

  Command holder(
      {"--schema", schema.name(), "lock", "run", "door", "--owner", "ada", "--", "sh", "-c", "echo runs >&2; exec tail -f /dev/null"});
  REQUIRE(holder.says("runs"));
  check_refused(run(schema, {"lock", "run", "door", "--", "true"}), 4, "ada has it until");
  Command waiter({"--schema", schema.name(), "lock", "run", "door", "--wait", "1m", "--", "echo", "mine"});
  holder.signal(SIGTERM);
  CHECK(holder.wait().code == 128 + SIGTERM);
  const Ended waited = waiter.wait();
  CHECK(waited.code == 0);
  CHECK(waited.out == "mine\n");
  CHECK(held(schema) == 0);
}

TEST_CASE("lock run tells its command that the lock is lost, and kills it if it does not listen") {
  Schema schema;
  // A shell minds its traps between two commands, so these go round; nothing waits for the length of a round.
  const std::string stubborn = "trap '' TERM; echo runs >&2; while :; do sleep 0.05; done";
  const std::string polite = "trap 'exit 3' TERM; echo runs >&2; while :; do sleep 0.05; done";
  for (const auto& [script, code] : {std::pair(stubborn, 128 + SIGKILL), std::pair(polite, 3)}) {
    Command one({"--schema", schema.name(), "lock", "run", "door", "--ttl", "1s", "--", "sh", "-c", script});
    REQUIRE(one.says("runs"));
    CHECK(schema.value("SELECT release_lock('door', (SELECT token FROM held_locks))") == "t");
    const Ended ended = one.wait();
    CHECK(ended.code == 4);
    CHECK(ended.err.find(fmt::format("lock \"door\" was lost while the command ran, and the command was told to end: exit code {}",
                                     code)) != std::string::npos);
  }
}

TEST_CASE("the command does not outlive a lock run that is killed") {
  Schema schema;
  Command one({"--schema", schema.name(), "lock", "run", "door", "--", "sh", "-c", "echo pid $$ >&2; exec tail -f /dev/null"});
  REQUIRE(one.says("pid "));
  one.signal(SIGKILL);
  const Ended ended = one.wait();
  CHECK(ended.code == 128 + SIGKILL);
  const pid_t pid = std::stoi(ended.err.substr(ended.err.find("pid ") + 4));
  CHECK(eventually([&] { return ::kill(pid, 0) != 0; }));
  CHECK(held(schema) == 1);
}
