// millrace schedule: make, look, stop.
#include "cli/command.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>

#include <csignal>

using namespace millrace::test;

namespace {

void create(const Schema& schema, Words words) {
  words.insert(words.begin(), {"schedule", "create"});
  REQUIRE(run(schema, words).code == 0);
}

}  // namespace

TEST_CASE("schedule create says what it did, and when the next tick is") {
  Schema schema;
  const Words words{"schedule", "create", "nightly", "30 2 * * *", "report", R"({"day": "{{tick}}"})", "--zone", "Europe/Berlin"};
  const Ended made = run(schema, words);
  CHECK(made.code == 0);
  CHECK(made.out == "schedule nightly created; next at " +
                        schema.value("SELECT to_char(next_tick AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM schedules") +
                        "\n");
  CHECK(run(schema, words).out.starts_with("schedule nightly unchanged; next at "));
  Words other = words;
  other.insert(other.end(), {"--gap", "skip"});
  CHECK(run_json(schema, other)["outcome"] == "changed");
  CHECK(schema.number("SELECT count(*) FROM schedules") == 1);
}

TEST_CASE("every option of schedule create reaches the schedule") {
  Schema schema;
  create(schema, {"s",
                  "every 90s",
                  "k",
                  "{}",
                  "--zone",
                  "Asia/Tokyo",
                  "--gap",
                  "skip",
                  "--fold",
                  "last",
                  "--misfire",
                  "all",
                  "--misfire-max",
                  "7",
                  "--grace",
                  "2m",
                  "--jitter",
                  "5s",
                  "--exclusive",
                  "queue",
                  "--anchor",
                  "2026-01-01T00:00:00Z",
                  "--tag",
                  "nightly",
                  "--tag",
                  "eu",
                  "--queue",
                  "slow",
                  "--priority",
                  "high",
                  "--max-attempts",
                  "3",
                  "--timeout",
                  "30s",
                  "--retry",
                  "fixed(5s)"});
  const auto one = run_json(schema, {"schedule", "show", "s"});
  CHECK(one["name"] == "s");
  CHECK(one["rule"] == "every 90s");
  CHECK(one["kind"] == "k");
  CHECK(one["args"].empty());
  CHECK(one["zone"] == "Asia/Tokyo");
  CHECK(one["gap"] == "skip");
  CHECK(one["fold"] == "last");
  CHECK(one["misfire"] == "all");
  CHECK(one["misfire_max"] == 7);
  CHECK(one["grace_ms"] == 120'000);
  CHECK(one["jitter_ms"] == 5'000);
  CHECK(one["exclusive"] == "queue");
  CHECK(one["anchor"] == "2026-01-01T00:00:00.000000Z");
  CHECK(one["queue"] == "slow");
  CHECK(one["priority"] == 75);
  CHECK(one["max_attempts"] == 3);
  CHECK(one["tags"] == nlohmann::json({"nightly", "eu"}));
  CHECK(one["timeout_ms"] == 30'000);
  CHECK(one["backoff"]["type"] == "fixed");
  CHECK(one["paused"] == false);
  CHECK(one["next_tick"].is_string());
  CHECK(one["last_tick"].is_null());
  CHECK(one["ticks"].empty());
}

TEST_CASE("schedule list, pause, resume, run and delete") {
  Schema schema;
  CHECK(run(schema, {"schedule", "list"}).out == "no schedules; millrace schedule create NAME RULE KIND makes one\n");
  create(schema, {"b", "@hourly", "k"});
  create(schema, {"a", "@daily", "k"});
  const auto all = run_lines(schema, {"schedule", "list"});
  REQUIRE(all.size() == 2);
  CHECK(all[0]["name"] == "a");
  CHECK(run(schema, {"schedule", "pause", "a"}).out == "schedule a paused\n");
  CHECK(run(schema, {"schedule", "list"}).out.find("paused") != std::string::npos);
  CHECK(run(schema, {"schedule", "create", "a", "@daily", "k"}).out == "schedule a unchanged; it is paused: millrace schedule resume a\n");
  CHECK(run(schema, {"schedule", "resume", "a"}).out.starts_with("schedule a resumed; next at "));
  const auto ran = run_json(schema, {"schedule", "run", "a"});
  CHECK(run_json(schema, {"schedule", "show", "a"})["last_task"] == ran["task"]);
  CHECK(run(schema, {"schedule", "delete", "a"}).out == "schedule a deleted\n");
  CHECK(run_lines(schema, {"schedule", "list"}).size() == 1);
  CHECK(schema.number("SELECT count(*) FROM tasks") == 1);
  for (const char* verb : {"show", "pause", "resume", "run", "delete"}) {
    CAPTURE(verb);
    check_refused(run(schema, {"schedule", verb, "a"}), 3, "there is no schedule \"a\"");
  }
}

TEST_CASE("a worker fires what was created, and show tells so") {
  Schema schema;
  create(schema, {"s", "* * * * * *", "greet"});
  Command worker({"--schema", schema.name(), "worker", "--exec", "greet=true"});
  CHECK(eventually([&] { return schema.number("SELECT count(*) FROM tasks WHERE status = 'completed'") >= 2; }));
  worker.signal(SIGTERM);
  CHECK(worker.wait().code == 0);
  const auto one = run_json(schema, {"schedule", "show", "s"});
  REQUIRE(one["ticks"].size() >= 2);
  CHECK(one["ticks"][0]["outcome"] == "enqueued");
  CHECK(one["ticks"][0]["tick"] > one["ticks"][1]["tick"]);
  CHECK(run(schema, {"schedule", "show", "s"}).out.find("TICK                  OUTCOME") != std::string::npos);
}

TEST_CASE("schedule preview shows the ticks of a schedule or a rule, and what clocks do to them") {
  Schema schema;
  const Words from{"--from", "2027-03-27T00:00:00Z", "--count", "2"};
  Words words{"schedule", "preview", "30 2 * * *", "--zone", "Europe/Berlin"};
  words.insert(words.end(), from.begin(), from.end());
  const std::string expected =
      "LOCAL TIME               UTC                   NOTE\n"
      "Sat 2027-03-27 02:30:00  2027-03-27T01:30:00Z\n"
      "Sun 2027-03-28 02:30:00  2027-03-28T01:30:00Z  moved: this local time does not exist on this day\n";
  CHECK(run(schema, words).out == expected);
  create(schema, {"nightly", "30 2 * * *", "k", "--zone", "Europe/Berlin"});
  Words named{"schedule", "preview", "nightly"};
  named.insert(named.end(), from.begin(), from.end());
  CHECK(run(schema, named).out == expected);
  const auto lines = run_lines(schema, named);
  REQUIRE(lines.size() == 2);
  CHECK(lines[1]["at"] == "2027-03-28T01:30:00.000000Z");
  check_refused(run(schema, {"schedule", "preview", "nightly", "--zone", "UTC"}), 2, "are those of schedule \"nightly\"");
  check_refused(run(schema, {"schedule", "preview", "weekly"}), 3, "there is no schedule \"weekly\"");
}

TEST_CASE("bad input to schedule is one line with exit code 2, and nothing is stored") {
  Schema schema;
  const std::pair<Words, const char*> cases[] = {
      {{"60 * * * *", "k"}, "rule has \"60\" as minute; allowed are 0 to 59"},
      {{"0 0 31 2 *", "k"}, "would never fire"},
      {{"@daily", "k", "[]"}, "args"},
      {{"@daily", ""}, "kind"},
      {{"@daily", "k", "--zone", "Mars/Base"}, "zone is \"Mars/Base\""},
      {{"@daily", "k", "--gap", "jump"}, "--gap is \"jump\"; allowed are skip and shift"},
      {{"@daily", "k", "--fold", ""}, "--fold is \"\"; allowed are first, last and both"},
      {{"@daily", "k", "--misfire", "many"}, "--misfire is \"many\"; allowed are skip, one and all"},
      {{"@daily", "k", "--misfire-max", "0"}, "--misfire-max is 0; allowed is 1 to 100"},
      {{"@daily", "k", "--exclusive", "yes"}, "--exclusive is \"yes\"; allowed are no, skip and queue"},
      {{"@daily", "k", "--grace", "0s"}, "grace"},
      {{"@daily", "k", "--jitter", "2d"}, "jitter"},
      {{"@daily", "k", "--anchor", "soon"}, "--anchor is \"soon\""},
      {{"@daily"}, "kind is required"},
  };
  for (const auto& [rest, message] : cases) {
    Words words{"schedule", "create", "s"};
    words.insert(words.end(), rest.begin(), rest.end());
    INFO(words.back());
    check_refused(run(schema, words), 2, message);
  }
  check_refused(run(schema, {"schedule", "preview", "* * * * *", "--count", "0"}), 2, "--count is 0; allowed is 1 to 1000");
  check_refused(run(schema, {"schedule", "preview", "* * * * *", "--from", "now"}), 2, "--from is \"now\"");
  CHECK(schema.number("SELECT count(*) FROM schedules") == 0);
}
