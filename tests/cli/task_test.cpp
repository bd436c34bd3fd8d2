// millrace task: look, cancel, retry.
#include "cli/command.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace millrace::test;

namespace {

// Runs every due task of the default queue with this program; returns when nothing is left.
void work(const Schema& schema, const std::string& program) {
  const Ended ended = run(schema, {"worker", "--exec", "greet=" + program, "--until-empty"});
  INFO(ended.err);
  REQUIRE(ended.code == 0);
}

std::string ids(const Schema& schema, Words filter) {
  Words words{"task", "list"};
  words.insert(words.end(), filter.begin(), filter.end());
  std::string all;
  for (const auto& task : run_lines(schema, words)) all += (all.empty() ? "" : " ") + task["id"].dump();
  return all;
}

}  // namespace

TEST_CASE("task show tells the row, each column by its name") {
  Schema schema;
  const std::string id =
      enqueue(schema, {"greet", R"({"n": 1e400, "text": "ü\n"})", "--priority", "77", "--timeout", "90s", "--queue", "mail"});
  const Ended ended = run(schema, {"task", "show", id, "--json"});
  CHECK(ended.code == 0);
  // The number is beyond any double: it is looked at as text.
  const std::string big = "1" + std::string(400, '0');
  const std::size_t at = ended.out.find(big);
  REQUIRE(at != std::string::npos);
  const auto task = nlohmann::json::parse(std::string(ended.out).replace(at, big.size(), "1"));
  CHECK(task["id"].dump() == id);
  CHECK(task["kind"] == "greet");
  CHECK(task["queue"] == "mail");
  CHECK(task["status"] == "pending");
  CHECK(task["priority"] == 77);
  CHECK(task["attempt"] == 0);
  CHECK(task["max_attempts"] == 5);
  CHECK(task["timeout_ms"] == 90'000);
  CHECK(task["args"]["text"] == "ü\n");
  CHECK(task["run_at"] == schema.value("SELECT to_char(run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM tasks"));
  for (const char* name : {"started_at", "finished_at", "dead_at", "lease", "worker", "backoff", "result"}) CHECK(task.at(name).is_null());
  CHECK(task["errors"].empty());
}

TEST_CASE("task show tells what became of a task") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet", "--max-attempts", "1"});
  work(schema, "echo 'no such \"user\"' >&2; exit 3");
  const auto task = run_json(schema, {"task", "show", id});
  CHECK(task["status"] == "failed");
  CHECK(task["attempt"] == 1);
  CHECK(task["finished_at"].is_string());
  CHECK(task["dead_at"].is_string());
  REQUIRE(task["errors"].size() == 1);
  CHECK(task["errors"][0]["attempt"] == 1);
  CHECK(task["errors"][0]["message"] == "exit status 3: no such \"user\"");
  CHECK(task["errors"][0]["worker"] == task["worker"]);
  const Ended plain = run(schema, {"task", "show", id});
  CHECK(plain.code == 0);
  CHECK(plain.out.find("no such \"user\"") != std::string::npos);
}

TEST_CASE("task list filters by status, queue, kind and page") {
  Schema schema;
  CHECK(run(schema, {"task", "list"}).out == "no tasks\n");
  const std::string done = enqueue(schema, {"greet"});
  work(schema, "true");
  const std::string dead = enqueue(schema, {"greet", "--max-attempts", "1"});
  work(schema, "false");
  const std::string ready = enqueue(schema, {"greet"});
  const std::string later = enqueue(schema, {"greet", "--delay", "1h"});
  const std::string mail = enqueue(schema, {"send", "--queue", "mail"});
  const std::string gone = enqueue(schema, {"send", "--queue", "mail"});
  CHECK(run_json(schema, {"task", "cancel", gone})["status"] == "cancelled");

  CHECK(ids(schema, {}) == gone + " " + mail + " " + later + " " + ready + " " + dead + " " + done);
  CHECK(ids(schema, {"--status", "completed"}) == done);
  CHECK(ids(schema, {"--status", "failed"}) == dead);
  CHECK(ids(schema, {"--status", "pending"}) == mail + " " + ready);
  CHECK(ids(schema, {"--status", "scheduled"}) == later);
  CHECK(ids(schema, {"--status", "cancelled"}) == gone);
  CHECK(ids(schema, {"--status", "running"}) == "");
  CHECK(ids(schema, {"--queue", "mail"}) == gone + " " + mail);
  CHECK(ids(schema, {"--queue", "nobody's"}) == "");
  CHECK(ids(schema, {"--kind", "send", "--status", "pending"}) == mail);
  CHECK(ids(schema, {"--limit", "2"}) == gone + " " + mail);
  CHECK(ids(schema, {"--limit", "2", "--before", mail}) == later + " " + ready);
  const Ended plain = run(schema, {"task", "list"});
  CHECK(plain.out.find("scheduled") != std::string::npos);
  CHECK(plain.out.find('\x1b') == std::string::npos);
}

TEST_CASE("what a program says cannot command the terminal") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet", "--max-attempts", "1", "--queue", "de\x1b[2Jfault\nline"});
  const std::string program = "printf 'a\\033[2Jb\\rc\\302\\233d\\ttab\\nsecond' >&2; false";
  CHECK(run(schema, {"worker", "--queue", "de\x1b[2Jfault\nline=1", "--exec", "greet=" + program, "--until-empty"}).code == 0);
  for (const Words& words : {Words{"task", "list"}, Words{"task", "show", id}, Words{"stats"}}) {
    CAPTURE(words[0]);
    const Ended ended = run(schema, words);
    CHECK(ended.code == 0);
    for (const char* control : {"\x1b", "\r", "\xc2\x9b"}) CHECK(ended.out.find(control) == std::string::npos);
    CHECK(ended.out.find("de?[2Jfault") != std::string::npos);
  }
  const std::string list = run(schema, {"task", "list"}).out;
  CHECK(std::count(list.begin(), list.end(), '\n') == 2);
  CHECK(run(schema, {"task", "show", id}).out.find("a?[2Jb?c?d\ttab\nsecond") != std::string::npos);
  // JSON has its own escapes: nothing is lost there.
  CHECK(run_json(schema, {"task", "show", id})["errors"][0]["message"] ==
        "exit status 1: a\x1b[2Jb\rc\xc2\x9b"
        "d\ttab\nsecond");
}

TEST_CASE("task list refuses what is no filter") {
  Schema schema;
  for (const Words& filter :
       {Words{"--status", "done"}, Words{"--status", ""}, Words{"--limit", "0"}, Words{"--limit", "1001"}, Words{"--limit", "x"},
        Words{"--before", "x"}, Words{"--before", ""}, Words{"--queue", ""}, Words{"--kind", std::string(129, 'k')}}) {
    CAPTURE(filter[0]);
    CAPTURE(filter[1]);
    check_refused(run(schema, {"task", "list", filter[0], filter[1]}), 2);
  }
}

TEST_CASE("task cancel and retry change the state, and only where it allows") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet", "--max-attempts", "1"});
  check_refused(run(schema, {"task", "retry", id}), 4, "task " + id + " is pending");
  CHECK(run(schema, {"task", "cancel", id}).out == "task " + id + " is cancelled\n");
  CHECK(run(schema, {"task", "cancel", id}).code == 0);
  CHECK(run_json(schema, {"task", "retry", id}) == nlohmann::json({{"id", std::stoi(id)}, {"status", "pending"}}));
  CHECK(schema.value("SELECT status FROM tasks") == "pending");

  work(schema, "false");
  check_refused(run(schema, {"task", "cancel", id}), 4, "task " + id + " is failed");
  CHECK(run(schema, {"task", "retry", id}).code == 0);
  work(schema, "true");
  check_refused(run(schema, {"task", "retry", id}), 4, "task " + id + " is completed");
  check_refused(run(schema, {"task", "cancel", id}), 4, "task " + id + " is completed");
}

TEST_CASE("several tasks can be cancelled at once") {
  Schema schema;
  const std::string one = enqueue(schema, {"greet"});
  const std::string two = enqueue(schema, {"greet"});
  check_refused(run(schema, {"task", "cancel", one, "two"}), 2, "id is \"two\"");
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'cancelled'") == 0);
  CHECK(run_lines(schema, {"task", "cancel", one, two}).size() == 2);
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'cancelled'") == 2);
}

TEST_CASE("a task that there is not is exit code 3") {
  Schema schema;
  for (const char* verb : {"show", "cancel", "retry"}) {
    check_refused(run(schema, {"task", verb, "123456789"}), 3, "there is no task 123456789");
    check_refused(run(schema, {"task", verb, "-1"}), 3, "there is no task -1");
    check_refused(run(schema, {"task", verb, "99999999999999999999"}), 2, "id");
    check_refused(run(schema, {"task", verb, "one"}), 2, "id");
    check_refused(run(schema, {"task", verb, "010"}), 3, "there is no task 10");  // not 8
    check_refused(run(schema, {"task", verb, "0x10"}), 2, "id");
    check_refused(run(schema, {"task", verb}), 2, "id");
  }
}
