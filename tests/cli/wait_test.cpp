// Waiting for tasks, and what their programs said.
#include "support/wait.hpp"
#include "cli/command.hpp"

#include <doctest/doctest.h>

#include <csignal>

using namespace millrace::test;

namespace {

// A worker for these kinds, as long as it lives.
struct At {
  explicit At(const Schema& schema)
      : worker({"--schema", schema.name(), "worker", "--exec", "good=echo '{\"sum\": 42}'", "--exec",
                "bad=echo 'printer on fire' >&2; exit 65", "--exec", "slow=sleep 600", "--exec",
                "chatty=echo first >&2; echo ignored; printf 'sec\\033ond' >&2; exit 0"}) {}
  Command worker;
};

}  // namespace

TEST_CASE("enqueue --wait prints the result, and its exit code says whether the task completed") {
  Schema schema;
  const At work(schema);
  const Ended good = run(schema, {"enqueue", "good", "--wait"});
  CHECK(good.code == 0);
  CHECK(good.out == "enqueued task 1 (pending)\ntask 1 is completed: {\"sum\": 42}\n");
  CHECK(good.err.empty());
  const Ended bad = run(schema, {"enqueue", "bad", "--wait"});
  CHECK(bad.code == 1);
  CHECK(bad.err == "millrace: task 2 is failed: exit status 65: printer on fire\n");
  const Ended json = run(schema, {"enqueue", "good", "--wait", "--json"});
  CHECK(json.code == 0);
  CHECK(nlohmann::json::parse(json.out)["result"]["sum"] == 42);
  const Ended bad_json = run(schema, {"enqueue", "bad", "--wait", "--json"});
  CHECK(bad_json.code == 1);
  CHECK(nlohmann::json::parse(bad_json.out)["status"] == "failed");
}

TEST_CASE("enqueue --wait-for gives up after its time, and bad input enqueues nothing") {
  Schema schema;
  const Ended ended = run(schema, {"enqueue", "nobody", "--wait-for", "50ms", "--json"});
  CHECK(ended.code == 1);
  CHECK(ended.err == "millrace: task 1 is pending still; millrace task wait 1 goes on waiting\n");
  CHECK(nlohmann::json::parse(ended.out)["status"] == "pending");
  check_refused(run(schema, {"enqueue", "nobody", "--wait-for", "long"}), 2, "--wait-for");
  CHECK(schema.number("SELECT count(*) FROM tasks") == 1);
}

TEST_CASE("task wait waits for a task's end") {
  Schema schema;
  const std::string id = enqueue(schema, {"nobody"});
  check_refused(run(schema, {"task", "wait", id, "--for", "10ms"}), 1, "is pending still");
  check_refused(run(schema, {"task", "wait", "999"}), 3, "there is no task 999");
  check_refused(run(schema, {"task", "wait", "x"}), 2, "id is \"x\"");
  check_refused(run(schema, {"task", "wait", id, "--for", "soon"}), 2, "--for");
  Command waiting({"--schema", schema.name(), "task", "wait", id});
  REQUIRE(eventually([&] { return schema.number("SELECT count(*) FROM waits") == 1; }));
  CHECK(run(schema, {"task", "cancel", id}).code == 0);
  const Ended ended = waiting.wait();
  CHECK(ended.code == 1);
  CHECK(ended.err == "millrace: task " + id + " is cancelled\n");
  CHECK(schema.number("SELECT count(*) FROM waits") == 0);
}

TEST_CASE("a program that runs is stopped at once by task cancel") {
  Schema schema;
  const At work(schema);
  const std::string id = enqueue(schema, {"slow"});
  REQUIRE(eventually([&] { return schema.value("SELECT status FROM tasks") == "running"; }));
  CHECK(run(schema, {"task", "cancel", id}).out == "task " + id + " is running; its worker was asked to stop it\n");
  check_refused(run(schema, {"task", "wait", id}), 1, "is cancelled");
}

TEST_CASE("task logs shows what a program said on standard error") {
  Schema schema;
  const At work(schema);
  const std::string id = enqueue(schema, {"chatty"});
  REQUIRE(run(schema, {"task", "wait", id}).code == 0);
  const auto lines = run_lines(schema, {"task", "logs", id});
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["seq"] == 1);
  CHECK(lines[0]["line"] == "first");
  CHECK(lines[1]["line"] == "sec\x1bond");
  const Ended plain = run(schema, {"task", "logs", id});
  CHECK(plain.out.find("sec?ond\n") != std::string::npos);
  CHECK(run_lines(schema, {"task", "logs", id, "--after", "1"}).size() == 1);
  CHECK(run_lines(schema, {"task", "logs", id, "--limit", "1"}).size() == 1);
  CHECK(run(schema, {"task", "logs", id, "--after", "2"}).out == "task " + id + " logged nothing after line 2\n");
  check_refused(run(schema, {"task", "logs", "999"}), 3, "there is no task 999");
  check_refused(run(schema, {"task", "logs", id, "--limit", "0"}), 2, "limit");
  CHECK(run_json(schema, {"task", "show", id})["progress"].is_null());
}
