// What the command says: of options by their names, of values before it asks, and nothing that is not so.
#include "cli/command.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <sstream>
#include <string>

using namespace millrace::test;

namespace {

void bury(const Schema& schema) {
  const Ended ended = run(schema, {"worker", "--exec", "greet=exit 65", "--until-empty"});
  INFO(ended.err);
  REQUIRE(ended.code == 0);
}

}  // namespace

TEST_CASE("--plan with --yes changes nothing, by ids as by a filter") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet"});
  check_refused(run(schema, {"task", "delete", id, "--plan", "--yes"}), 2, "--plan cannot be given together with --yes");
  bury(schema);
  check_refused(run(schema, {"dead", "retry", id, "--plan", "--yes"}), 2, "--plan cannot be given together with --yes");
  check_refused(run(schema, {"dead", "purge", "--all", "--plan", "--yes"}), 2, "--plan cannot be given together with --yes");
  CHECK(schema.value("SELECT status FROM tasks") == "failed");
}

TEST_CASE("values are read before anybody is asked") {
  Schema schema;
  check_refused(run(schema, {"dead", "purge", "--older-than", "30"}), 2, "--older-than is \"30\"; allowed are durations");
  check_refused(run(schema, {"dead", "purge", "--older-than", "2026-01-01T00:00:00Z"}), 2, "allowed are durations");
  check_refused(run(schema, {"dead", "retry", "--kind", "x", "--dead-from", "zzz"}), 2, "--dead-from is \"zzz\"");
  check_refused(run(schema, {"task", "cancel", "--kind", "x", "--created-from", "zzz"}), 2, "--created-from is \"zzz\"");
  check_refused(run(schema, {"task", "reprioritise", "--kind", "x", "--priority", "101"}), 2, "--priority is 101");
  check_refused(run(schema, {"task", "list", "--status", "failed,,pending"}), 2, "--status is \"\"");
  const Ended mistyped = run(schema, {"task", "list", "--status", "faild"});
  check_refused(mistyped, 2, "--status is \"faild\"; known are pending, scheduled");
  CHECK(mistyped.err.find("waiting") == std::string::npos);
}

TEST_CASE("a value out of range is told by the option that it was typed with") {
  Schema schema;
  struct Case {
    Words words;
    std::string said;
  };
  const Case cases[] = {
      {{"worker", "--exec", "a=b", "--poll", "1ms"}, "millrace: --poll is 1 ms; allowed is"},
      {{"worker", "--exec", "a=b", "--queue", "a=0"}, "millrace: --queue is 0; allowed is"},
      {{"worker", "--exec", "a=b", "--lease-ttl", "1ms"}, "millrace: --lease-ttl is 1 ms"},
      {{"enqueue", "a", "--at", "10000-01-01T00:00:00Z"}, "millrace: --at is outside"},
      {{"enqueue", "a", "--max-attempts", "0"}, "millrace: --max-attempts is 0"},
      {{"enqueue", "a", "--unique-for", "1h"}, "millrace: --unique-for needs --unique-key or --unique"},
      {{"enqueue", "a", "--tag", ""}, "millrace: --tag "},
      {{"enqueue", "a", "--retry", "fixed(5)"}, "millrace: --retry is \"fixed(5)\"; allowed are"},
      {{"enqueue", "a", "--retry", "fixed(366d)"}, "millrace: --retry "},
      {{"enqueue", "a\xff"}, "millrace: kind is not valid UTF-8"},
      {{"schedule", "create", "n", "@daily", "a", "--misfire-max", "0"}, "millrace: --misfire-max is 0"},
      {{"task", "list", "--limit", "1001"}, "millrace: --limit is 1001"},
      {{"task", "show", "99999999999999999999"}, "id is 99999999999999999999; allowed is -9223372036854775808 to 9223372036854775807"},
      {{"migrate", "down", "--to", "x"}, "millrace: --to is \"x\"; allowed are whole numbers"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.words.back());
    check_refused(run(schema, one.words), 2, one.said);
  }
}

TEST_CASE("a line that cannot be understood is told in our words") {
  check_refused(run_plain({"task", "list", "--statsu", "failed"}), 2,
                "millrace: there is no option --statsu; try: millrace task list --help");
  check_refused(run_plain({"task", "shwo"}), 2, "millrace: there is no command or option shwo");
  check_refused(run_plain({"worker", "lsit"}), 2, "millrace: there is no command or option lsit; try: millrace worker --help");
  check_refused(run_plain({"stats", "all"}), 2, "millrace: all is one argument too many; try: millrace stats --help");
  check_refused(run_plain({"tail", "--kind"}), 2, "millrace: --kind needs a value; try: millrace tail --help");
}

TEST_CASE("dead retry takes ids, or a filter, or --all, and --all with a filter") {
  Schema schema;
  for (const char* tenant : {"acme", "acme", "zeta"}) enqueue(schema, {"greet", "--tenant", tenant});
  bury(schema);
  check_refused(run(schema, {"dead", "retry", "1", "--all"}), 2, "millrace: id cannot be given together with a filter or --all");
  check_refused(run(schema, {"dead", "retry", "--yes"}), 2, "millrace: id is missing");
  CHECK(run(schema, {"dead", "retry", "--all", "--tenant", "acme", "--yes"}).out == "2 tasks retried\n");
  CHECK(run(schema, {"dead", "count"}).out.ends_with("\n1 dead letter\n"));
  CHECK(run(schema, {"dead", "list", "--limit", "1"}).out.find("next page") == std::string::npos);
  CHECK(run(schema, {"task", "list", "--limit", "3"}).out.find("next page") == std::string::npos);
  CHECK(run(schema, {"task", "list", "--limit", "2"}).out.ends_with("next page: the same with --before 2\n"));
}

TEST_CASE("task wait gives no reason of an earlier death for a cancellation") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet"});
  bury(schema);
  CHECK(run(schema, {"task", "wait", id}).err == "millrace: task 1 is failed: exit status 65\n");
  REQUIRE(run(schema, {"dead", "retry", id}).code == 0);
  REQUIRE(run(schema, {"task", "cancel", id}).code == 0);
  CHECK(run(schema, {"task", "wait", id}).err == "millrace: task 1 is cancelled\n");
}

TEST_CASE("tail --since does not say that a revived task was scheduled") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet"});
  bury(schema);
  REQUIRE(run(schema, {"dead", "retry", id}).code == 0);
  const int paper = ::memfd_create("tail", MFD_CLOEXEC);
  REQUIRE(paper >= 0);
  Command tail({"--schema", schema.name(), "tail", "--since", "5m", "--interval", "50ms"}, {.output = paper});
  const auto text = [paper] {
    char bytes[4096];
    const ssize_t count = ::pread(paper, bytes, sizeof bytes, 0);
    return std::string(bytes, count > 0 ? static_cast<std::size_t>(count) : 0);
  };
  CHECK(eventually([&] { return text().find("1     greet") != std::string::npos; }));
  tail.signal(SIGINT);
  CHECK(tail.wait().code == 0);
  CHECK(text().find("pending") != std::string::npos);
  CHECK(text().find("scheduled") == std::string::npos);
  ::close(paper);
}

TEST_CASE("enqueue --lines tells the line of the input, blank lines counted") {
  Schema schema;
  schema.connection().run(
      R"(SELECT register_kinds('[{"kind": "mail", "queue": "mail", "schema": {"required": ["to"], "properties": {"to": {"type": "string"}}}}]'))");
  check_refused(run(schema, {"enqueue", "greet", "--lines"}, {.input = "{}\n\n[1]\n"}), 2, "millrace: line 3 must be a JSON object");
  check_refused(run(schema, {"enqueue", "mail", "--lines"}, {.input = "{\"to\": \"ada\"}\n  \n{}\n"}), 2, "args of line 3 do not fit");
  CHECK(schema.number("SELECT count(*) FROM tasks") == 0);
  CHECK(run(schema, {"enqueue", "greet", "--lines", "--json", "--delay", "1h"}, {.input = "{}\n"}).out ==
        "{\"id\": 1, \"status\": \"scheduled\", \"created\": true}\n");
  CHECK(run_json(schema, {"enqueue", "greet", "--lines"}, {.input = "{}\n"})["status"] == "pending");
  CHECK(run(schema, {"enqueue", "greet", "--lines"}, {.input = "{}\n"}).out == "enqueued 1 task\n");
}

TEST_CASE("schedule create checks the registered schema, with a time for the tick") {
  Schema schema;
  schema.connection().run(
      R"(SELECT register_kinds('[{"kind": "report", "queue": "default", "schema": {"required": ["day"], "properties": {"day": {"pattern": "^[0-9]{4}-"}}}}]'))");
  check_refused(run(schema, {"schedule", "create", "n", "@daily", "report", "{}"}), 2, "args do not fit the schema of report");
  CHECK(schema.number("SELECT count(*) FROM schedules") == 0);
  CHECK(run(schema, {"schedule", "create", "n", "@daily", "report", "{\"day\": \"{{tick}}\"}"}).code == 0);
  REQUIRE(run(schema, {"schedule", "pause", "n"}).code == 0);
  CHECK(run_json(schema, {"schedule", "resume", "n"})["next_tick"].is_string());
}

TEST_CASE("worker --until-empty says what it waits for") {
  Schema schema;
  enqueue(schema, {"greet", "--at", "2199-01-01T00:00:00Z"});
  enqueue(schema, {"stranger", "--at", "2199-02-01T00:00:00Z"});
  Command worker({"--schema", schema.name(), "worker", "--exec", "greet=true", "--until-empty"});
  CHECK(worker.says("waiting for 2 tasks: 1 of greet (due at 2199-01-01T00:00:00Z), 1 of stranger (no program here)"));
  REQUIRE(run(schema, {"task", "cancel", "1", "2"}).code == 0);
  CHECK(worker.wait().code == 0);
}

TEST_CASE("a change by id tells the value that it gave") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet"});
  CHECK(run_json(schema, {"task", "reprioritise", id, "--priority", "high"})["priority"] == 75);
  CHECK(run_json(schema, {"task", "reschedule", id, "--at", "2199-01-01T00:00:00Z"})["run_at"] == "2199-01-01T00:00:00.000000Z");
  CHECK(run(schema, {"task", "run-now", id, "--plan"}).out.find("made due") != std::string::npos);
}

TEST_CASE("a lock that was waited for in vain is not told to be waited for") {
  Schema schema;
  const auto held = run_json(schema, {"lock", "acquire", "deploy", "--owner", "ada"});
  CHECK(held["acquired_at"].is_string());
  check_refused(run(schema, {"lock", "acquire", "deploy"}), 4, "--wait DURATION keeps trying");
  for (const Words& words :
       {Words{"lock", "acquire", "deploy", "--wait", "20ms"}, Words{"lock", "run", "deploy", "--wait", "20ms", "--", "true"}}) {
    const Ended ended = run(schema, words);
    check_refused(ended, 4, "could not be acquired within 20ms: ada has it until");
    CHECK(ended.err.find("--wait") == std::string::npos);
  }
  check_refused(run(schema, {"lock", "release", "deploy", "999"}), 4, "millrace lock holder deploy tells who holds it");
}

TEST_CASE("a kind's program that is not there is told once, with what it keeps waiting") {
  Schema schema;
  enqueue(schema, {"stranger"});
  Command worker({"--schema", schema.name(), "worker", "--exec", "greet=true", "--until-empty"});
  CHECK(worker.says("waiting for 1 task: 1 of stranger (no program here)"));
  CHECK(worker.says("queue default: 1 task of kind \"stranger\" is due, and no live worker here handles that kind"));
  REQUIRE(run(schema, {"task", "cancel", "1"}).code == 0);
  const Ended ended = worker.wait();
  CHECK(ended.code == 0);
  CHECK(ended.err.find("waiting for") == ended.err.rfind("waiting for"));
}

TEST_CASE("no help has a line of more than 120 characters") {
  for (const Words& words : {Words{}, Words{"task"}, Words{"task", "list"}, Words{"task", "retry"}, Words{"dead", "purge"},
                             Words{"dead", "queue"}, Words{"enqueue"}, Words{"schedule", "create"}, Words{"lock"}, Words{"lock", "run"},
                             Words{"worker"}, Words{"tail"}, Words{"kind"}, Words{"migrate"}, Words{"dev"}}) {
    Words asking = words;
    asking.emplace_back("--help");
    std::istringstream help(run_plain(asking).out);
    for (std::string line; std::getline(help, line);) {
      INFO(line);
      CHECK(line.size() <= 120);
    }
  }
}

TEST_CASE("what is not there is told with the command that lists what is") {
  Schema schema;
  for (const char* verb : {"show", "wait", "cancel", "retry", "delete"})
    check_refused(run(schema, {"task", verb, "99"}), 3, "there is no task 99; millrace task list shows the latest");
  for (const char* verb : {"show", "pause", "resume", "run", "delete"})
    check_refused(run(schema, {"schedule", verb, "nightly"}), 3, "; millrace schedule list shows all");
}

TEST_CASE("the helps of worker's commands are their own") {
  for (const char* verb : {"list", "pause", "resume", "stop"})
    CHECK(run_plain({"worker", verb, "--help"}).out.find("Exit codes of a program") == std::string::npos);
  CHECK(run_plain({"worker", "--help"}).out.find("Exit codes of a program") != std::string::npos);
}
