// What a run said is on record before its end is, whatever happens to the connection.
#include "worker/house.hpp"

#include <pqxx/pqxx>

#include <fmt/format.h>

#include <latch>

using namespace millrace;
using namespace millrace::test;

namespace {

// Ends the sessions of this kind that work on this schema; returns how many.
std::int64_t cut(House& house, const std::string& application) {
  return house.schema.connection()
      .run(fmt::format("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{}'"
                       " AND query LIKE '%{}%'",
                       application, house.schema.name()))
      .integer(0, 0);
}

}  // namespace

TEST_CASE("lines of a run survive the connection that was to record them, also if the task runs again at once") {
  House house;
  std::latch started(1), go(1);
  Worker worker(house.options());
  worker.handle_raw("work", [&](Context& context) -> Outcome<std::string> {
    if (context.attempt() > 1) return std::string{};
    started.count_down();
    go.wait();
    context.progress(1, 2);
    context.log("before the failure");
    return retry_in(0s, "again");
  });
  worker.handle_raw("first", nothing);
  worker.start();
  // The completer connects when it is first needed.
  REQUIRE(house.client.wait(house.client.enqueue("first").id, 30s).has_value());
  const TaskId id = house.client.enqueue("work").id;
  started.wait();
  REQUIRE(cut(house, "millrace worker completer") == 1);
  go.count_down();
  REQUIRE(house.client.wait(id, 30s)->status == Status::completed);
  const auto lines = house.client.logs(id);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].text == "before the failure");
  CHECK(lines[0].attempt == 1);
  worker.stop();
  house.consistent();
}

TEST_CASE("lines of a run whose row of reports somebody holds do not keep its end back") {
  House house;
  std::latch started(1), go(1);
  Worker worker(house.options());
  worker.handle_raw("work", [&](Context& context) -> Outcome<std::string> {
    context.progress(1, 2);
    started.count_down();
    go.wait();
    context.log("at the end");
    return std::string{};
  });
  worker.start();
  const TaskId id = house.client.enqueue("work").id;
  started.wait();
  REQUIRE(eventually([&] { return house.client.progress(id).has_value(); }));
  Session person(house.schema);
  person.script("BEGIN; SELECT FROM reports FOR UPDATE");
  go.count_down();
  REQUIRE(house.client.wait(id, 30s)->status == Status::completed);
  CHECK(house.client.logs(id).empty());
  person.script("COMMIT");
  CHECK(eventually([&] { return house.client.logs(id).size() == 1; }));
  worker.stop();
}

TEST_CASE("what a handler said is on record when its own transaction records its end") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("work", [](Context& context) -> Outcome<std::string> {
    context.transaction().exec("SELECT 1");
    context.progress(7, 7, "all");
    context.log("done");
    return std::string{};
  });
  worker.start();
  for (int i = 0; i < 20; ++i) {
    const TaskId id = house.client.enqueue("work").id;
    REQUIRE(house.client.wait(id, 30s)->status == Status::completed);
    const auto progress = house.client.progress(id);
    REQUIRE(progress.has_value());
    CHECK(progress->done == 7);
    CHECK(house.client.logs(id).size() == 1);
  }
  worker.stop();
}

TEST_CASE("a role that may only read waits by looking") {
  House house;
  const std::string role = "reader_" + house.schema.name();
  auto& connection = house.schema.connection();
  connection.script(
      fmt::format("CREATE ROLE \"{0}\" LOGIN; GRANT USAGE ON SCHEMA {1} TO \"{0}\"; GRANT SELECT ON ALL TABLES IN SCHEMA {1} TO \"{0}\"",
                  role, house.schema.quoted()));
  {
    const std::string url = house.schema.url();
    Client reader({.database = url + (url.find('?') == std::string::npos ? '?' : '&') + "user=" + role, .schema = house.schema.name()});
    const TaskId id = house.client.enqueue("work").id;
    CHECK_FALSE(reader.wait(id, 50ms).has_value());
    house.client.cancel(id);
    CHECK(reader.wait(id, 30s)->status == Status::cancelled);
    CHECK(house.count("waits") == 0);
  }
  connection.script(fmt::format("DROP OWNED BY \"{0}\"; DROP ROLE \"{0}\"", role));
}
