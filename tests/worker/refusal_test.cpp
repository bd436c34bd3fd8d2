// Settlements that the database refuses: some until it has recovered, some whenever they are sent.
#include "worker/house.hpp"
#include "worker/paper.hpp"

#include <fmt/format.h>

#include <latch>

using namespace millrace;
using namespace millrace::test;

namespace {

// A trigger that refuses to end tasks in some ways with an error of this code, as long as it is switched on.
void refuse(House& house, const std::string& ways, const std::string& code) {
  auto& link = house.schema.connection();
  const std::string& schema = house.schema.quoted();
  link.run(fmt::format("CREATE TABLE {}.refusals AS SELECT true AS active", schema));
  link.run(fmt::format(R"(CREATE FUNCTION {0}.refuse_end() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.status::text = ANY ('{{{1}}}') AND (SELECT r.active FROM {0}.refusals r) THEN
        RAISE EXCEPTION USING ERRCODE = '{2}', MESSAGE = 'refused by the test';
      END IF;
      RETURN NEW;
    END $$)",
                       schema, ways, code));
  link.run(fmt::format("CREATE TRIGGER refuse_end BEFORE UPDATE ON {0}.tasks FOR EACH ROW EXECUTE FUNCTION {0}.refuse_end()", schema));
}

void allow(House& house) { house.schema.connection().run(fmt::format("UPDATE {}.refusals SET active = false", house.schema.quoted())); }

}  // namespace

TEST_CASE("while the database is read-only, full or interrupted, what was done waits to be recorded, and is not done again") {
  for (const char* code : {"25006", "53100", "57014", "42501"}) {
    CAPTURE(code);
    House house;
    refuse(house, "completed", code);
    std::atomic<int> runs{0};
    Paper paper;
    auto options = house.options();
    options.logger = paper.logger();
    Worker worker(options);
    worker.handle_raw("work", [&](Context&) -> Outcome<std::string> { return std::to_string(++runs); });
    worker.start();
    const auto ids = house.client.enqueue_many("work", std::vector<std::string>(3, "{}"));
    REQUIRE(paper.says("refused by the test"));
    CHECK(house.status(ids[0]) == Status::running);
    allow(house);
    for (const TaskId id : ids) {
      REQUIRE(house.reaches(id, Status::completed));
      CHECK(house.client.get(id)->attempt == 1);
    }
    CHECK(runs == 3);
    worker.stop();
    house.consistent();
  }
}

TEST_CASE("a result that is refused for good is a failed attempt, and a failure that is refused a plain one") {
  House house;
  SUBCASE("the completion") { refuse(house, "completed", "P0001"); }
  SUBCASE("the completion and the retry") { refuse(house, "completed,retrying", "P0001"); }
  Worker worker(house.options());
  worker.handle_raw("work", [](Context&) -> Outcome<std::string> { return std::string("1"); });
  worker.handle_raw("other", [](Context&) -> Outcome<std::string> { return snooze(1ms); });
  worker.start();
  const auto id = house.client.enqueue("work", "{}", {.max_attempts = 2, .backoff = fixed(1ms)}).id;
  REQUIRE(house.reaches(id, Status::failed));
  CHECK(house.client.get(id)->errors.back().message.starts_with("the database refused the "));
  worker.stop();
  house.consistent();
}

TEST_CASE("stop() comes back although nothing can be recorded, and what was not is rescued") {
  House house;
  std::latch entered(1), leave(1);
  auto options = house.options();
  options.grace = 500ms;
  auto worker = std::make_unique<Worker>(options);
  worker->handle_raw("work", [&](Context&) -> Outcome<std::string> {
    entered.count_down();
    leave.wait();
    return std::string();
  });
  worker->start();
  const auto id = house.client.enqueue("work").id;
  entered.wait();
  const std::string away = house.schema.name() + "_away";
  house.schema.connection().run(fmt::format(R"(ALTER SCHEMA {} RENAME TO "{}")", house.schema.quoted(), away));
  leave.count_down();
  const auto before = std::chrono::steady_clock::now();
  CHECK(worker->stop());
  CHECK(std::chrono::steady_clock::now() - before < 60s);
  house.schema.connection().run(fmt::format(R"(ALTER SCHEMA "{}" RENAME TO {})", away, house.schema.quoted()));
  CHECK(house.status(id) == Status::running);
  CHECK_THROWS_AS(worker->start(), StateError);
  Worker other(house.options());
  other.handle_raw("work", nothing);
  other.start();
  CHECK(house.reaches(id, Status::completed));
  other.stop();
  house.consistent();
}

TEST_CASE("a result that the server chokes on keeps no other end from being recorded") {
  House house;
  auto& link = house.schema.connection();
  const std::string& schema = house.schema.quoted();
  // Too large to be put together, or the end of the session that tries.
  std::string how;
  SUBCASE("an internal error") { how = "RAISE EXCEPTION USING ERRCODE = 'XX000', MESSAGE = 'invalid memory alloc request size';"; }
  SUBCASE("a lost connection") { how = "PERFORM pg_terminate_backend(pg_backend_pid());"; }
  link.run(fmt::format("CREATE FUNCTION {}.choke() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$", schema, how));
  link.run(fmt::format(
      "CREATE TRIGGER choke BEFORE UPDATE ON {0}.tasks FOR EACH ROW WHEN (NEW.result = '\"poison\"') EXECUTE FUNCTION {0}.choke()",
      schema));
  std::latch together(4);
  Worker worker(house.options());
  worker.handle_raw("work", [&](Context& context) -> Outcome<std::string> {
    if (context.attempt() == 1) together.arrive_and_wait();
    return std::string(context.args().find("poison") == std::string_view::npos ? "1" : "\"poison\"");
  });
  const auto ids = house.client.enqueue_many("work", std::vector<std::string>{"{}", R"({"poison": 1})", "{}", "{}"}, {.max_attempts = 1});
  worker.start();
  for (const std::size_t good : {0U, 2U, 3U}) CHECK(house.reaches(ids[good], Status::completed));
  CHECK(house.reaches(ids[1], Status::failed));
  CHECK(house.client.get(ids[1])->errors.back().message == "the database refused the result");
  CHECK(worker.stop());
  house.consistent();
}
