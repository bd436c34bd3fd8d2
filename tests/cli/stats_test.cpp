// millrace stats and millrace doctor.
#include "cli/command.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <string>

using namespace millrace::test;

TEST_CASE("stats tells what each queue holds") {
  Schema schema;
  CHECK(run(schema, {"stats"}).out.starts_with("no queues yet"));
  CHECK(run_lines(schema, {"stats"}).empty());

  enqueue(schema, {"greet"});
  CHECK(run(schema, {"worker", "--exec", "greet=true", "--until-empty"}).code == 0);
  enqueue(schema, {"greet", "--max-attempts", "1"});
  CHECK(run(schema, {"worker", "--exec", "greet=false", "--until-empty"}).code == 0);
  enqueue(schema, {"greet"});
  enqueue(schema, {"greet", "--delay", "1h"});
  enqueue(schema, {"greet", "--delay", "2h"});
  enqueue(schema, {"send", "--queue", "ma\"il"});

  const auto queues = run_lines(schema, {"stats"});
  REQUIRE(queues.size() == 2);
  const auto& here = queues[0]["queue"] == "default" ? queues[0] : queues[1];
  const auto& mail = queues[0]["queue"] == "default" ? queues[1] : queues[0];
  CHECK(mail["queue"] == "ma\"il");
  CHECK(mail["ready"] == 1);
  CHECK(here["ready"] == 1);
  CHECK(here["upcoming"] == 2);
  CHECK(here["running"] == 0);
  CHECK(here["failed"] == 1);
  CHECK(here["workers"] == 0);
  CHECK(here["completed_last_hour"] == 1);
  CHECK(here["failed_last_hour"] == 1);
  CHECK(here["oldest_ready_ms"].is_number());
  const Ended plain = run(schema, {"stats"});
  CHECK(plain.out.starts_with("QUEUE"));
}

TEST_CASE("doctor finds nothing in a healthy schema") {
  Schema schema;
  enqueue(schema, {"greet"});
  CHECK(run(schema, {"doctor"}).out.starts_with("healthy"));
  CHECK(run_lines(schema, {"doctor"}).empty());
}

TEST_CASE("doctor finds a task without its ticket, and mends it") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet"});
  schema.connection().script("DELETE FROM tickets");
  const Ended found = run(schema, {"doctor", "--json"});
  CHECK(found.code == 1);
  CHECK(nlohmann::json::parse(found.out)["task"] == std::stoll(id));
  CHECK(nlohmann::json::parse(found.out)["lease"].is_null());
  const Ended plain = run(schema, {"doctor"});
  CHECK(plain.code == 1);
  CHECK(plain.out.find("1 problem; millrace doctor --fix mends it") != std::string::npos);

  CHECK(run(schema, {"doctor", "--fix"}).out.ends_with("mended 1 of 1 problem\n"));
  CHECK(run(schema, {"doctor"}).out.starts_with("healthy"));
  CHECK(run(schema, {"worker", "--exec", "greet=true", "--until-empty"}).code == 0);
  CHECK(schema.value("SELECT status FROM tasks") == "completed");
}
