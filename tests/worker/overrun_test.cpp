// Handlers that obey neither their timeout nor the stop.
#include "worker/house.hpp"

#include "dev/run_program.hpp"

#include <fmt/format.h>
#include <pqxx/pqxx>

#include <latch>

using namespace millrace;
using namespace millrace::test;

namespace {

// A handler that stays where it is until the test lets it go.
class Stubborn {
 public:
  RawHandler handler() {
    return [this](Context& context) -> Outcome<std::string> {
      ++entered_;
      if (before_) before_(context);
      leave_.wait();
      ++left_;
      return std::string("\"too late\"");
    };
  }
  void before(std::function<void(Context&)> what) { before_ = std::move(what); }
  void let_go() { leave_.count_down(); }
  [[nodiscard]] int entered() const { return entered_; }
  [[nodiscard]] int left() const { return left_; }

 private:
  std::latch leave_{1};
  std::function<void(Context&)> before_{};
  std::atomic<int> entered_{0}, left_{0};
};

}  // namespace

TEST_CASE("a run that does not obey its timeout has failed after the grace; its thread is replaced and counted") {
  House house;
  auto options = house.options();
  options.queues = {{"default", 1}};
  Stubborn stubborn;
  Worker worker(options);
  worker.handle_raw("stubborn", stubborn.handler());
  worker.handle_raw("quick", nothing);
  worker.start();
  const auto stuck = house.client.enqueue("stubborn", "{}", {.max_attempts = 1, .timeout = 50ms}).id;
  const auto behind = house.client.enqueue("quick").id;
  REQUIRE(house.reaches(stuck, Status::failed));
  CHECK(house.client.get(stuck)->errors.back().message ==
        "timed out after 50 ms and did not stop within 200 ms; its thread was left behind");
  // There was one thread, and it is still in there.
  REQUIRE(house.reaches(behind, Status::completed));
  CHECK(stubborn.left() == 0);
  CHECK(worker.counts().stragglers == 1);
  CHECK(worker.counts().active == 0);
  CHECK(worker.counts().failed == 1);

  SUBCASE("stop() tells that it still runs") {
    CHECK_FALSE(worker.stop());
    stubborn.let_go();
    CHECK(eventually([&] { return stubborn.left() == 1; }));
  }
  SUBCASE("what it says in the end is dropped, and stop() joins it") {
    stubborn.let_go();
    CHECK(eventually([&] { return stubborn.left() == 1; }));
    CHECK(eventually([&] { return worker.stop(); }));
    CHECK(house.status(stuck) == Status::failed);
    CHECK_FALSE(house.client.get(stuck)->result.has_value());
  }
  house.consistent();
}

TEST_CASE("the attempt that follows an overrun runs beside it") {
  House house;
  auto options = house.options();
  options.queues = {{"default", 1}};
  Stubborn stubborn;
  Worker worker(options);
  worker.handle_raw("stubborn", [&, wait = stubborn.handler()](Context& context) -> Outcome<std::string> {
    if (context.attempt() == 1) return wait(context);
    return std::string("\"second\"");
  });
  worker.start();
  const auto id = house.client.enqueue("stubborn", "{}", {.backoff = fixed(1ms), .timeout = 50ms}).id;
  REQUIRE(house.reaches(id, Status::completed));
  CHECK(house.client.get(id)->result == "\"second\"");
  CHECK(stubborn.left() == 0);
  stubborn.let_go();
  CHECK(eventually([&] { return stubborn.left() == 1; }));
  worker.stop();
  CHECK(house.client.get(id)->result == "\"second\"");
  house.consistent();
}

TEST_CASE("what a run that was left behind holds in the database is given free, and it can write nothing more") {
  House house;
  house.schema.connection().run("CREATE TABLE " + house.schema.quoted() + ".accounts AS SELECT 1 AS id, 0 AS balance");
  Stubborn stubborn;
  stubborn.before([&](Context& context) {
    context.transaction().exec("UPDATE " + house.schema.quoted() + ".accounts SET balance = 100 WHERE id = 1");
  });
  Worker worker(house.options());
  worker.handle_raw("stubborn", stubborn.handler());
  worker.start();
  const auto id = house.client.enqueue("stubborn", "{}", {.max_attempts = 1, .timeout = 100ms}).id;
  REQUIRE(house.reaches(id, Status::failed));
  // Waits for the row's lock, if it is held.
  house.schema.connection().run("SET statement_timeout = '10s'");
  house.schema.connection().run("UPDATE " + house.schema.quoted() + ".accounts SET balance = balance + 1 WHERE id = 1");
  CHECK(stubborn.left() == 0);
  stubborn.let_go();
  CHECK(eventually([&] { return stubborn.left() == 1; }));
  worker.stop();
  CHECK(house.schema.value("SELECT balance FROM accounts") == "1");
  CHECK(house.status(id) == Status::failed);
}

TEST_CASE("what a run that was left behind reports is not taken for its successor's") {
  House house;
  std::latch speak(1), go_on(1);
  std::atomic<bool> spoke{false};
  Worker worker(house.options());
  worker.handle_raw("reports", [&](Context& context) -> Outcome<std::string> {
    if (context.attempt() == 1) {
      speak.wait();
      context.progress(1, 100, "zombie");
      context.log("zombie");
      spoke = true;
      return std::string();
    }
    context.progress(50, 100, "alive");
    go_on.wait();
    return std::string();
  });
  worker.start();
  const auto id = house.client.enqueue("reports", "{}", {.backoff = fixed(1ms), .timeout = 50ms}).id;
  // The second attempt obeys its timeout no better: only what is said counts here.
  REQUIRE(eventually([&] {
    const auto said = house.client.progress(id);
    return said && said->note == "alive";
  }));
  speak.count_down();
  REQUIRE(eventually([&] { return spoke.load(); }));
  go_on.count_down();
  CHECK(eventually([&] { return worker.stop(); }));
  CHECK(house.client.progress(id)->note == "alive");
  CHECK(house.client.logs(id).empty());
}

TEST_CASE("stop() frees what a stuck handler has locked in the database") {
  House house;
  house.schema.connection().run("CREATE TABLE " + house.schema.quoted() + ".accounts AS SELECT 1 AS id, 0 AS balance");
  auto options = house.options();
  options.grace = 50ms;
  Stubborn stubborn;
  stubborn.before([&](Context& context) {
    context.transaction().exec("UPDATE " + house.schema.quoted() + ".accounts SET balance = 100 WHERE id = 1");
  });
  Worker worker(options);
  worker.handle_raw("stubborn", [&, wait = stubborn.handler()](Context& context) { return wait(context); });
  worker.start();
  const auto id = house.client.enqueue("stubborn").id;
  // It has its lock before the worker is stopped.
  REQUIRE(eventually([&] {
    return house.schema.number(
               "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname = 'accounts' AND l.mode = "
               "'RowExclusiveLock' AND c.relnamespace = '" +
               house.schema.name() + "'::regnamespace") == 1;
  }));
  CHECK_FALSE(worker.stop());
  house.schema.connection().run("SET statement_timeout = '10s'");
  house.schema.connection().run("UPDATE " + house.schema.quoted() + ".accounts SET balance = balance + 1 WHERE id = 1");
  stubborn.let_go();
  CHECK(eventually([&] { return stubborn.left() == 1; }));
  CHECK(house.schema.value("SELECT balance FROM accounts") == "1");
  CHECK(house.status(id) == Status::pending);
}

TEST_CASE("stop() leaves the process when a handler cannot be ended, after all is recorded") {
  House house;
  const auto run = dev::run_program({.argv = {STUCK_PROGRAM, house.schema.url(), house.schema.name()}});
  CHECK(run.status == 1);
  CHECK(run.out == "");
  const auto tasks = house.client.list();
  REQUIRE(tasks.size() == 1);
  CHECK(tasks[0].status == Status::pending);
  CHECK(tasks[0].attempt == 0);
  house.consistent();
}
