#include <millrace/testing/clock.hpp>

#include "testing/kinds.hpp"

namespace millrace::test {

TEST_CASE("the clock is the real one until it is told otherwise") {
  OnServer db;
  CHECK(db.value("SELECT clock() = now()") == "t");
  CHECK_FALSE(db.clock().frozen());
  db.clock().thaw();
  CHECK(db.value("SELECT clock() = now()") == "t");
}

TEST_CASE("advance, set, freeze, thaw, reset") {
  OnServer db;
  testing::Clock& clock = db.clock();
  clock.advance(1h);
  clock.advance(1ms);
  CHECK(db.value("SELECT clock() - now()") == "01:00:00.001");
  const Time then{std::chrono::sys_days{std::chrono::year{2031} / 5 / 17} + std::chrono::microseconds(123457)};
  clock.set(then);
  CHECK(clock.now() > then);
  CHECK(clock.now() < then + 10s);
  clock.freeze();
  const Time stands = clock.now();
  CHECK(db.value("SELECT clock() = clock()") == "t");
  CHECK(clock.now() == stands);
  clock.advance(2h);
  CHECK(clock.now() == stands + 2h);
  clock.set(then);
  CHECK(clock.frozen());
  CHECK(db.value("SELECT to_char(clock() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')") == "2031-05-17 00:00:00.123457");
  clock.thaw();
  CHECK_FALSE(clock.frozen());
  CHECK(clock.now() > then);
  CHECK(clock.now() < then + 10s);
  clock.freeze(stands);
  CHECK(clock.now() == stands);
  clock.reset();
  CHECK(db.value("SELECT clock() = now()") == "t");
  CHECK_THROWS_AS(clock.advance(-1ms), InvalidArgument);
  CHECK_THROWS_AS(clock.set(Time{} - 1s), InvalidArgument);
  CHECK_THROWS_AS(clock.freeze(Time{std::chrono::sys_days{std::chrono::year{10000} / 1 / 1}}), InvalidArgument);
  CHECK_FALSE(clock.frozen());
}

TEST_CASE("every session, also one that has planned its statements, sees the change") {
  OnServer db;
  const TaskId task = db.client().enqueue("work", "{}", {.key = "one", .key_for = 1h}).id;
  CHECK_FALSE(db.client().enqueue("work", "{}", {.key = "one", .key_for = 1h}).created);
  db.client().cancel(task);
  for (int i = 0; i < 6; ++i) CHECK_FALSE(db.client().enqueue("work", "{}", {.key = "one", .key_for = 1h}).created);
  db.clock().advance(2h);
  CHECK(db.client().enqueue("work", "{}", {.key = "one", .key_for = 1h}).created);
}

TEST_CASE("the clock of one database is not that of another") {
  OnServer one;
  OnServer other;
  one.clock().advance(24h);
  CHECK(other.value("SELECT clock() = now()") == "t");
}

}  // namespace millrace::test
