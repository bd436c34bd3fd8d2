// A stop that reaches the statement which a handler's session executes.
#include "worker/house.hpp"

#include "dev/run_program.hpp"

#include <pqxx/pqxx>

#include <fmt/format.h>

#include <atomic>

using namespace millrace;
using namespace millrace::test;

namespace {

// A handler that sleeps in the database until somebody interrupts it.
class Sleeper {
 public:
  explicit Sleeper(House& house) : house_(house) {}
  void operator()(Worker& worker) {
    worker.handle_raw("sleep", [this](Context& context) -> Outcome<std::string> {
      auto& tx = context.transaction();
      pid_ = tx.exec("SELECT pg_backend_pid()")[0][0].as<int>();
      tx.exec("SELECT pg_sleep(600)");
      return std::string{};
    });
  }
  /// Waits until it sleeps.
  [[nodiscard]] bool asleep() {
    return eventually([&] {
      const auto sleeping = fmt::format("SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND wait_event = 'PgSleep'", pid_.load());
      return house_.schema.connection().run(sleeping).integer(0, 0) == 1;
    });
  }

 private:
  House& house_;
  std::atomic<int> pid_{0};
};

std::string last_error(House& house, TaskId id) { return house.client.get(id)->errors.back().message; }

}  // namespace

TEST_CASE("a worker that only polls ends the statement of a task that is cancelled in SQL, or times out") {
  House house;
  auto options = house.options();
  options.listen = false;
  Worker worker(options);
  Sleeper sleeper(house);
  sleeper(worker);
  worker.start();
  const TaskId cancelled = house.client.enqueue("sleep").id;
  REQUIRE(sleeper.asleep());
  CHECK(house.schema.value(fmt::format("SELECT cancel({})", cancelled.value)) == "running");
  REQUIRE(house.reaches(cancelled, Status::cancelled));
  CHECK(last_error(house, cancelled).starts_with("stopped because it was cancelled"));

  const TaskId late = house.client.enqueue("sleep", "{}", {.max_attempts = 1, .timeout = 100ms}).id;
  REQUIRE(house.reaches(late, Status::failed));
  CHECK(last_error(house, late).starts_with("timed out after 100 ms"));
  CHECK(worker.stop());
  house.consistent();
}

TEST_CASE("a lost lease ends the statement of the run that held it") {
  House house;
  auto options = house.options();
  options.lease_ttl = 1min;
  Worker worker(options);
  Sleeper sleeper(house);
  sleeper(worker);
  worker.start();
  const TaskId id = house.client.enqueue("sleep").id;
  REQUIRE(sleeper.asleep());
  // Somebody takes the task away; nobody runs it again.
  house.schema.connection().script(
      fmt::format("BEGIN; SELECT give_back(lease, true, false) FROM tasks WHERE id = {0}; SELECT cancel({0}); COMMIT", id.value));
  CHECK(eventually([&] { return worker.counts().lost == 1; }));
  CHECK(house.status(id) == Status::cancelled);
  CHECK(worker.stop());
  house.consistent();
}

TEST_CASE("an interruption never reaches the statements of the session's next task") {
  House house;
  auto options = house.options();
  options.queues = {{"default", 1}};
  Worker worker(options);
  worker.handle_raw("sleep", [](Context& context) -> Outcome<std::string> {
    context.transaction().exec("SELECT pg_sleep(600)");
    return std::string{};
  });
  worker.handle_raw("quick", [](Context& context) -> Outcome<std::string> {
    for (int i = 0; i < 20; ++i) context.transaction().exec("SELECT count(*) FROM pg_class");
    return std::string{};
  });
  worker.start();
  // One slot, so one session: each quick task follows at once on one whose statement was interrupted.
  std::vector<TaskId> quick;
  for (int i = 0; i < 20; ++i) {
    house.client.enqueue("sleep", "{}", {.max_attempts = 1, .timeout = 20ms});
    quick.push_back(house.client.enqueue("quick", "{}", {.max_attempts = 1}).id);
  }
  for (const TaskId id : quick) {
    const auto ended = house.client.wait(id, 60s);
    REQUIRE(ended);
    CAPTURE(last_error(house, id));
    CHECK(ended->status == Status::completed);
  }
  CHECK(worker.stop());
}

TEST_CASE("a timeout that is longer than a statement's can be leaves its transaction alone") {
  House house;
  Worker worker(house.options());
  worker.handle_raw(
      "patient", [](Context& context) -> Outcome<std::string> { return context.transaction().exec("SELECT 42")[0][0].as<std::string>(); });
  worker.start();
  const TaskId id = house.client.enqueue("patient", "{}", {.max_attempts = 1, .timeout = std::chrono::days(365)}).id;
  CHECK(house.client.wait(id, 30s)->status == Status::completed);
  CHECK(worker.stop());
}

TEST_CASE("a deadline is kept while the heart waits for the database") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("long", [](Context& context) -> Outcome<std::string> {
    await_stop(context.stop_token());
    throw std::runtime_error("obeyed");
  });
  worker.start();
  Session person(house.schema);
  person.script("BEGIN");
  person.run("SELECT FROM workers FOR UPDATE");
  REQUIRE(eventually([&] {
    return house.schema.number(fmt::format("SELECT count(*) FROM pg_stat_activity WHERE {} = ANY (pg_blocking_pids(pid))"
                                           " AND application_name = 'millrace worker heart'",
                                           person.pid())) == 1;
  }));
  const auto id = house.client.enqueue("long", "{}", {.max_attempts = 1, .timeout = 100ms}).id;
  CHECK(house.reaches(id, Status::failed));
  CHECK(last_error(house, id).starts_with("timed out after 100 ms"));
  person.script("COMMIT");
  CHECK(worker.stop());
  house.consistent();
}

TEST_CASE("one SIGTERM ends all workers that run in a process") {
  House house;
  const auto run = dev::run_program({.argv = {TWO_PROGRAM, house.schema.url(), house.schema.name()}});
  INFO(run.err);
  CHECK(run.status == 0);
  CHECK(run.out == "all ended, and the signal is the program's again\n");
  CHECK(house.count("workers") == 0);
}
