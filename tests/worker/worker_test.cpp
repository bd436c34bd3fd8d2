// The worker, in this process, against a real database.
#include "worker/house.hpp"

#include <fmt/format.h>

#include <atomic>
#include <latch>
#include <thread>

using namespace millrace;
using namespace millrace::test;

namespace {

struct Sum {
  int a = 0;
  int b = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Sum, a, b)

const millrace::Task<Sum, int> add{"add"};

}  // namespace

TEST_CASE("a typed task runs and its result is stored") {
  House house;
  Worker worker(house.options());
  worker.handle(add, [](const Sum& sum, Context&) { return sum.a + sum.b; });
  worker.start();
  const auto task = add.enqueue(house.client, {.a = 2, .b = 40});
  CHECK(task.status == Status::pending);
  REQUIRE(house.reaches(task.id, Status::completed));
  const auto record = house.client.get(task.id);
  CHECK(record->result == "42");
  CHECK(record->attempt == 1);
  CHECK(worker.stop());
  house.consistent();
}

TEST_CASE("a failing task is retried by its policy, then becomes a dead letter, and retry revives it") {
  House house;
  Worker worker(house.options());
  std::atomic<bool> good{false};
  worker.handle_raw("moody", [&](Context& context) -> Outcome<std::string> {
    if (!good) throw std::runtime_error(fmt::format("attempt {} failed", context.attempt()));
    return std::string("true");
  });
  worker.start();
  const auto id = house.client.enqueue("moody", "{}", {.max_attempts = 3, .backoff = millrace::fixed(1ms)}).id;
  REQUIRE(house.reaches(id, Status::failed));
  const auto dead = house.client.get(id);
  REQUIRE(dead->errors.size() == 3);
  CHECK(dead->errors[2].message == "attempt 3 failed");
  CHECK(dead->dead_at.has_value());
  good = true;
  CHECK(house.client.retry(id) == Status::pending);
  REQUIRE(house.reaches(id, Status::completed));
  CHECK(house.client.get(id)->errors.size() == 3);
  CHECK_THROWS_AS(house.client.retry(id), millrace::StateError);
  worker.stop();
  house.consistent();
}

TEST_CASE("outcomes: fail for good, retry at a time, snooze uncounted; anything thrown is survived") {
  House house;
  Worker worker(house.options());
  std::atomic<int> snoozes{0};
  worker.handle_raw("fail", [](Context&) -> Outcome<std::string> { return millrace::fail("no such user"); });
  worker.handle_raw("throw-fail", [](Context&) -> Outcome<std::string> { throw millrace::fail("thrown"); });
  worker.handle_raw("retry", [](Context& context) -> Outcome<std::string> {
    if (context.attempt() == 1) return millrace::retry_in(1ms, "busy");
    return std::string{};
  });
  worker.handle_raw("snooze", [&](Context& context) -> Outcome<std::string> {
    CHECK(context.attempt() == 1);
    if (snoozes++ < 2) return millrace::snooze(1ms);
    return std::string{};
  });
  worker.handle_raw("int", [](Context&) -> Outcome<std::string> { throw 7; });
  worker.handle_raw("bad-result", [](Context&) -> Outcome<std::string> { return std::string("{not json"); });
  worker.handle_raw("refused-result", [](Context&) -> Outcome<std::string> { return std::string(R"("\ud800")"); });
  worker.start();
  const auto once = millrace::EnqueueOptions{.max_attempts = 1};
  const auto fail = house.client.enqueue("fail", "{}").id;
  const auto thrown = house.client.enqueue("throw-fail", "{}").id;
  const auto retry = house.client.enqueue("retry", "{}").id;
  const auto snooze = house.client.enqueue("snooze", "{}").id;
  const auto number = house.client.enqueue("int", "{}", once).id;
  const auto bad = house.client.enqueue("bad-result", "{}", once).id;
  const auto refused = house.client.enqueue("refused-result", "{}", once).id;
  CHECK(house.reaches(fail, Status::failed));
  CHECK(house.client.get(fail)->errors.at(0).message == "no such user");
  CHECK(house.reaches(thrown, Status::failed));
  CHECK(house.reaches(retry, Status::completed));
  CHECK(house.client.get(retry)->attempt == 2);
  CHECK(house.reaches(snooze, Status::completed));
  CHECK(house.client.get(snooze)->attempt == 1);
  CHECK(house.reaches(number, Status::failed));
  CHECK(house.reaches(bad, Status::failed));
  CHECK(house.reaches(refused, Status::failed));
  worker.stop();
  house.consistent();
}

TEST_CASE("a running task is cancelled through its stop token; its timeout stops it too") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("long", [](Context& context) -> Outcome<std::string> {
    std::latch stopped(1);
    const std::stop_callback callback(context.stop_token(), [&] { stopped.count_down(); });
    stopped.wait();
    throw std::runtime_error("obeyed");
  });
  worker.start();
  const auto cancelled = house.client.enqueue("long", "{}").id;
  REQUIRE(house.reaches(cancelled, Status::running));
  CHECK(house.client.cancel(cancelled) == Status::running);
  CHECK(house.reaches(cancelled, Status::cancelled));
  const auto late = house.client.enqueue("long", "{}", {.max_attempts = 1, .timeout = 50ms}).id;
  CHECK(house.reaches(late, Status::failed));
  CHECK(house.client.get(late)->errors.at(0).message == "timed out after 50 ms: obeyed");
  worker.stop();
  house.consistent();
}

TEST_CASE("every connection may be cut: the worker reconnects, listens again and claims at once") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("quick", nothing);
  worker.start();
  for (int round = 0; round < 3; ++round) {
    house.client.enqueue_many("quick", std::vector<std::string>(200, "{}"));
    house.schema.connection().run(fmt::format("SELECT pg_terminate_backend(s.pid) FROM {}.worker_sessions s", house.schema.quoted()));
    CHECK(eventually([&] { return house.count("tasks WHERE status <> 'completed'") == 0; }, 20s));
  }
  worker.stop();
  house.consistent();
}

TEST_CASE("rule 11: a claim whose answer was lost is given back under a living worker") {
  House house;
  auto options = house.options();
  options.lease_ttl = 1s;
  Worker worker(options);
  worker.handle_raw("quick", nothing);
  const auto id = house.client.enqueue("quick", "{}").id;
  // The claim is made in the worker's name, and its answer never reaches it.
  house.schema.connection().run(
      fmt::format("SELECT {}.register_worker('{}', 'w', 'h', 1, '0', '{{default}}', '1 second')", house.schema.quoted(), worker.id()));
  house.schema.connection().run(fmt::format(
      "SELECT count(*) FROM {}.claim('{}', 'default', 1, array_fill('-infinity'::timestamptz, '{{5}}'), array_fill(0, '{{5}}'))",
      house.schema.quoted(), worker.id()));
  CHECK(house.status(id) == Status::running);
  worker.start();
  CHECK(house.reaches(id, Status::completed));
  CHECK(house.client.get(id)->attempt == 1);
  worker.stop();
  house.consistent();
}

TEST_CASE("rule 6: a row that a person holds stops neither claimer nor completer") {
  House house;
  const auto held = house.client.enqueue("quick", "{}").id;
  const auto others = house.client.enqueue_many("quick", std::vector<std::string>(50, "{}"));
  auto person = house.schema.open();
  person->script("BEGIN");
  person->run(fmt::format("SELECT 1 FROM {}.tasks WHERE id = $1 FOR UPDATE", house.schema.quoted()),
              millrace::postgres::Params().integer(held.value));
  Worker worker(house.options());
  worker.handle_raw("quick", nothing);
  worker.start();
  CHECK(eventually([&] { return house.count("tasks WHERE status = 'completed'") == static_cast<std::int64_t>(others.size()); }, 20s));
  CHECK(house.status(held) == Status::pending);
  person->script("COMMIT");
  CHECK(house.reaches(held, Status::completed));
  worker.stop();
  house.consistent();
}

TEST_CASE("rule 6: a suspect that a person holds stops neither other suspects nor ordinary tasks") {
  House house;
  const auto suspects = house.client.enqueue_many("quick", std::vector<std::string>(3, "{}"));
  house.leave_suspects();
  REQUIRE(house.count("tickets WHERE bucket = -1") == 3);
  Session person(house.schema);
  person.script("BEGIN");
  person.run(fmt::format("SELECT FROM tasks WHERE id = {} FOR UPDATE", suspects[0].value));
  const auto other = house.client.enqueue("quick").id;
  Worker worker(house.options());
  worker.handle_raw("quick", nothing);
  worker.start();
  CHECK(house.reaches(other, Status::completed));
  CHECK(house.reaches(suspects[1], Status::completed));
  CHECK(house.reaches(suspects[2], Status::completed));
  CHECK(house.status(suspects[0]) == Status::retrying);
  person.script("COMMIT");
  CHECK(house.reaches(suspects[0], Status::completed));
  CHECK(worker.stop());
  house.consistent();
}

TEST_CASE("who holds a worker's row keeps it neither from claiming nor, once he lets go, from living") {
  House house;
  auto options = house.options();
  options.lease_ttl = 1s;
  Worker worker(options);
  worker.handle_raw("quick", nothing);
  worker.start();
  REQUIRE(eventually([&] { return house.count("workers WHERE wants_wake") == 1; }));
  Session person(house.schema);
  person.script("BEGIN");
  person.run("SELECT FROM workers FOR UPDATE");
  for (int i = 0; i < 20; ++i) REQUIRE(house.client.wait(house.client.enqueue("quick").id, 20s)->status == Status::completed);
  REQUIRE(eventually(
      [&] { return house.schema.number("SELECT count(*) FROM workers WHERE seen_at < clock() - interval '1.5 seconds'") == 1; }));
  person.script("COMMIT");
  // Now it beats before anybody takes it for dead, itself included.
  REQUIRE(eventually(
      [&] { return house.schema.number("SELECT count(*) FROM workers WHERE seen_at > clock() - interval '0.5 seconds'") == 1; }));
  CHECK(house.schema.value("SELECT id FROM workers") == worker.id());
  CHECK(worker.stop());
  house.consistent();
}

TEST_CASE("a scheduled task runs when it is due, without waiting for a poll") {
  House house;
  auto options = house.options();
  options.poll_interval = 1h;
  Worker worker(options);
  worker.handle_raw("quick", nothing);
  worker.start();
  const auto id = house.client.enqueue("quick", "{}", {.delay = 300ms}).id;
  CHECK(house.reaches(id, Status::completed));
  const auto record = house.client.get(id);
  CHECK(*record->started_at >= record->run_at);
  CHECK(*record->started_at - record->run_at < 2s);
  worker.stop();
}

TEST_CASE("rule 18: an enqueue that looked before the flag was set and committed after it is found without a poll") {
  House house;
  Session early(house.schema);
  early.script("BEGIN");
  const auto id = TaskId{early.run("SELECT enqueue('quick')").integer(0, 0)};
  auto options = house.options();
  options.poll_interval = 1h;
  Worker worker(options);
  worker.handle_raw("quick", nothing);
  worker.start();
  REQUIRE(eventually([&] { return house.count("workers WHERE wants_wake") == 1; }));
  early.script("COMMIT");
  CHECK(house.reaches(id, Status::completed));
  worker.stop();
}

TEST_CASE("rule 18: an enqueue that began while the flag was being set is found without a poll") {
  House house;
  // Setting the flag takes as long as the test holds this lock, so that an enqueue with a newer transaction id looks meanwhile.
  house.schema.connection().script(
      "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS"
      " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(180); RETURN NULL; END $$;"
      " CREATE TRIGGER held AFTER UPDATE ON workers FOR EACH ROW WHEN (NEW.wants_wake AND NOT OLD.wants_wake)"
      " EXECUTE FUNCTION held()");
  Session holder(house.schema), enqueuer(house.schema);
  holder.script("SELECT pg_advisory_lock(180)");
  auto options = house.options();
  options.poll_interval = 1h;
  options.lease_ttl = 10min;
  options.heartbeat = 3min;
  Worker worker(options);
  worker.handle_raw("quick", nothing);
  worker.start();
  REQUIRE(eventually([&] {
    return house.schema.connection()
               .run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 180 AND NOT granted")
               .integer(0, 0) == 1;
  }));
  enqueuer.script("BEGIN");
  const auto id = TaskId{enqueuer.run("SELECT enqueue('quick')").integer(0, 0)};
  holder.script("SELECT pg_advisory_unlock(180)");
  REQUIRE(eventually([&] { return house.count("workers WHERE wants_wake") == 1; }));
  // The worker looks, finds nothing, and would sleep.
  const std::string asleep =
      "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace worker claimer' AND state = 'idle'"
      " AND query LIKE '%claim(%' AND query LIKE '%" +
      house.schema.name() + "%'";
  REQUIRE(eventually([&] { return house.schema.connection().run(asleep).integer(0, 0) == 1; }));
  enqueuer.script("COMMIT");
  CHECK(house.reaches(id, Status::completed));
  worker.stop();
}

TEST_CASE("rule 20: poll-only mode is READ COMMITTED whatever the server's default") {
  House house;
  auto options = house.options();
  options.listen = false;
  options.poll_interval = 50ms;
  options.database = house.schema.url() + "&options=-c%20default_transaction_isolation%3Drepeatable%5C%20read";
  Worker worker(options);
  worker.handle_raw("quick", nothing);
  worker.start();
  const auto id = house.client.enqueue("quick", "{}").id;
  CHECK(house.reaches(id, Status::completed));
  worker.stop();
  house.consistent();
}

TEST_CASE("poll-only mode needs no session and still runs everything") {
  House house;
  auto options = house.options();
  options.listen = false;
  options.poll_interval = 20ms;
  Worker worker(options);
  worker.handle_raw("quick", nothing);
  worker.start();
  house.client.enqueue_many("quick", std::vector<std::string>(500, "{}"));
  CHECK(eventually([&] { return house.count("tasks WHERE status = 'completed'") == 500; }, 20s));
  CHECK(house.count("worker_sessions") == 0);
  worker.stop();
  house.consistent();
}

TEST_CASE("stop: what has not begun is given back uncounted; a handler that does not obey is released and reported") {
  House house;
  auto options = house.options();
  options.queues = {{"default", 1}};
  options.grace = 50ms;
  options.stop_patience = 50ms;
  std::latch leave(1);
  std::atomic<bool> left{false};
  {
    Worker worker(options);
    worker.handle_raw("stubborn", [&](Context&) -> Outcome<std::string> {
      leave.wait();
      left = true;
      return std::string{};
    });
    worker.start();
    const auto ids = house.client.enqueue_many("stubborn", std::vector<std::string>(3, "{}"));
    REQUIRE(house.reaches(ids[0], Status::running));
    CHECK_FALSE(worker.stop());
    CHECK(worker.counts().stragglers == 1);
    for (const TaskId id : ids) {
      CHECK(house.status(id) == Status::pending);
      CHECK(house.client.get(id)->attempt == 0);
    }
  }
  leave.count_down();
  CHECK(eventually([&] { return left.load(); }, 10s));
  house.consistent();
}

TEST_CASE("options out of range are refused by name") {
  CHECK_THROWS_WITH_AS(Worker({.queues = {}}), "queues is empty; a worker serves at least one", millrace::InvalidArgument);
  CHECK_THROWS_AS(Worker({.queues = {{"a", 0}}}), millrace::InvalidArgument);
  CHECK_THROWS_AS(Worker({.queues = {{"a", 1}, {"a", 1}}}), millrace::InvalidArgument);
  CHECK_THROWS_AS(Worker({.lease_ttl = 10ms}), millrace::InvalidArgument);
  CHECK_THROWS_AS(Worker({.batch = 0}), millrace::InvalidArgument);
  CHECK_THROWS_AS(Worker({.schema = ""}), millrace::InvalidArgument);
}
