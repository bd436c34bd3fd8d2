// millrace enqueue: what it makes of its options.
#include "cli/command.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace millrace::test;

TEST_CASE("enqueue prints the task it made, and the task is there") {
  Schema schema;
  const auto made = run_json(schema, {"enqueue", "greet", R"({"name": "Ada"})"});
  CHECK(made.size() == 3);
  CHECK(made["status"] == "pending");
  CHECK(made["created"] == true);
  CHECK(schema.value("SELECT id || ' ' || kind || ' ' || queue || ' ' || args FROM tasks") ==
        made["id"].dump() + R"( greet default {"name": "Ada"})");
}

TEST_CASE("without --json enqueue says one line") {
  Schema schema;
  const Ended ended = run(schema, {"enqueue", "greet"});
  CHECK(ended.code == 0);
  CHECK(ended.out == "enqueued task " + schema.value("SELECT id FROM tasks") + " (pending)\n");
  CHECK(ended.err == "");
  CHECK(schema.value("SELECT args FROM tasks") == "{}");
}

TEST_CASE("args come from standard input if they are -") {
  Schema schema;
  const std::string args = R"({"line": "one\ntwo", "number": 12345678901234567890.123456789, "ü": [1, null]})";
  enqueue(schema, {"greet", "-"}, {.input = args + "\n"});
  CHECK(schema.value("SELECT args = '" + args + "'::jsonb FROM tasks") == "t");
}

TEST_CASE("--lines makes a task of each line, in order, all or none") {
  Schema schema;
  const auto made = run_lines(schema, {"enqueue", "greet", "--lines"}, {.input = "{\"n\": 1}\n\n{\"n\": 2}\n{\"n\": 3}"});
  REQUIRE(made.size() == 3);
  CHECK(schema.value("SELECT string_agg(id || '=' || (args->>'n'), ' ' ORDER BY id) FROM tasks") ==
        made[0]["id"].dump() + "=1 " + made[1]["id"].dump() + "=2 " + made[2]["id"].dump() + "=3");
  check_refused(run(schema, {"enqueue", "greet", "--lines"}, {.input = "{\"n\": 4}\nnonsense\n"}), 2, "line 2 is not valid JSON");
  CHECK(schema.number("SELECT count(*) FROM tasks") == 3);
}

TEST_CASE("--delay schedules the task by the database's clock") {
  Schema schema;
  const auto made = run_json(schema, {"enqueue", "greet", "--delay", "1h30m"});
  CHECK(made["status"] == "scheduled");
  CHECK(schema.value("SELECT status || ' ' || (run_at = created_at + interval '90 minutes') FROM tasks") == "scheduled true");
}

TEST_CASE("--at schedules the task for that time, in any offset") {
  Schema schema;
  enqueue(schema, {"greet", "--at", "2099-12-24T18:00:00Z"});
  enqueue(schema, {"greet", "--at", "2099-12-24T19:30:00.25+01:30"});
  enqueue(schema, {"greet", "--at", "1999-12-31T00:00:00Z"});
  CHECK(schema.value("SELECT string_agg(status || ' ' || (run_at AT TIME ZONE 'UTC'), ', ' ORDER BY id) FROM tasks WHERE id <= 2") ==
        "scheduled 2099-12-24 18:00:00, scheduled 2099-12-24 18:00:00.25");
  CHECK(schema.value("SELECT status FROM tasks ORDER BY id DESC LIMIT 1") == "pending");
}

TEST_CASE("--priority takes numbers and names") {
  Schema schema;
  const std::pair<std::string, int> cases[] = {{"critical", 100}, {"high", 75}, {"normal", 50}, {"low", 25},
                                               {"0", 0},          {"37", 37},   {"100", 100}};
  for (const auto& one : cases) {
    CAPTURE(one.first);
    const std::string id = enqueue(schema, {"greet", "--priority", one.first});
    CHECK(schema.number("SELECT priority FROM tasks WHERE id = " + id) == one.second);
  }
}

TEST_CASE("--queue, --max-attempts, --timeout and --retry are the task's own") {
  Schema schema;
  enqueue(schema, {"greet", "--queue", "ma il\"'", "--max-attempts", "1000", "--timeout", "2m", "--retry", "fixed(5s)"});
  CHECK(schema.value("SELECT queue || '|' || max_attempts || '|' || timeout || '|' || (backoff->>'type') || '|' || (backoff->>'base')"
                     " FROM tasks") == "ma il\"'|1000|00:02:00|fixed|5");
}

TEST_CASE("the address and the schema come from the options, or from the environment") {
  Schema schema;
  const Words words{"enqueue", "greet"};
  CHECK(run_plain(words, {.environment = {"MILLRACE_SCHEMA=" + schema.name()}}).code == 0);
  CHECK(run_plain({"--database", url_with_password(), "--schema", schema.name(), "enqueue", "greet"},
                  {.environment = {"MILLRACE_DATABASE=postgresql://nowhere.invalid/none"}})
            .code == 0);
  // Global options may also follow the noun.
  CHECK(run_plain({"enqueue", "greet", "--schema", schema.name()}).code == 0);
  CHECK(schema.number("SELECT count(*) FROM tasks") == 3);
}
