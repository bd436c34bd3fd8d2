// Waiting for a task's end, and what its handler says meanwhile.
#include "engine/worker_sql.hpp"
#include "worker/house.hpp"

#include <pqxx/pqxx>

#include <fmt/format.h>

#include <atomic>
#include <future>
#include <latch>

using namespace millrace;
using namespace millrace::test;

namespace {

// Nobody looks but when told: what comes quickly came through LISTEN.
WorkerOptions patient(House& house) {
  auto options = house.options();
  options.lease_ttl = 10min;
  options.heartbeat = 3min;
  options.poll_interval = 1h;
  return options;
}

bool waits_for(House& house, TaskId id) {
  return eventually([&] { return house.count(fmt::format("waits WHERE task = {}", id.value)) > 0; });
}

}  // namespace

TEST_CASE("wait returns the row of a task that ends, that ended, that failed, that was cancelled") {
  House house;
  std::latch go(1);
  Worker worker(house.options());
  worker.handle_raw("work", [&](Context&) -> Outcome<std::string> {
    go.wait();
    return std::string("42");
  });
  worker.handle_raw("bad", [](Context&) -> Outcome<std::string> { return fail("no"); });
  worker.start();
  const TaskId id = house.client.enqueue("work").id;
  auto waiting = std::async(std::launch::async, [&] { return house.client.wait(id, 30s); });
  REQUIRE(waits_for(house, id));
  go.count_down();
  const auto ended = waiting.get();
  REQUIRE(ended.has_value());
  CHECK(ended->status == Status::completed);
  CHECK(ended->result == "42");
  CHECK(house.client.wait(id, 0ms)->result == "42");
  CHECK(house.count("waits") == 0);

  CHECK(house.client.wait(house.client.enqueue("bad").id, 30s)->status == Status::failed);
  const TaskId later = house.client.enqueue("work", "{}", {.delay = 1h}).id;
  auto other = std::async(std::launch::async, [&] { return house.client.wait(later, 30s); });
  REQUIRE(waits_for(house, later));
  house.client.cancel(later);
  CHECK(other.get()->status == Status::cancelled);
  worker.stop();
  house.consistent();
}

TEST_CASE("wait gives up after its time, and knows a task that there is not") {
  House house;
  const TaskId id = house.client.enqueue("nobody").id;
  CHECK_FALSE(house.client.wait(id, 0ms).has_value());
  CHECK_FALSE(house.client.wait(id, 50ms).has_value());
  CHECK_THROWS_AS(house.client.wait({987654}, 1s), NotFound);
  CHECK_THROWS_AS(house.client.wait(id, -1ms), InvalidArgument);
  CHECK(house.count("waits") == 0);
}

TEST_CASE("a wait that began while the end was being recorded ends all the same") {
  House house;
  house.client.enqueue("work");
  const TaskId id = house.client.list({}).front().id;
  enroll(house.schema, first);
  const auto lease = lease_of(house.schema.connection().run(claim_sql(first)));
  Session settling(house.schema);
  settling.script("BEGIN");
  settling.run(complete_sql(first, std::to_string(id.value), std::to_string(lease)));
  // It has looked for those who wait, and found nobody.
  auto waiting = std::async(std::launch::async, [&] { return house.client.wait(id, 30s); });
  REQUIRE(waits_for(house, id));
  settling.script("COMMIT");
  REQUIRE(waiting.get().has_value());
}

TEST_CASE("a wait that began beside a newer transaction that records the end hears of it") {
  House house;
  house.schema.connection().script(
      "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS"
      " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(181); RETURN NULL; END $$;"
      " CREATE TRIGGER held AFTER INSERT ON waits FOR EACH ROW EXECUTE FUNCTION held()");
  const TaskId id = house.client.enqueue("work").id;
  enroll(house.schema, first);
  const auto lease = lease_of(house.schema.connection().run(claim_sql(first)));
  Session holder(house.schema), settling(house.schema);
  holder.script("SELECT pg_advisory_lock(181)");
  auto waiting = std::async(std::launch::async, [&] { return house.client.wait(id, 60s); });
  REQUIRE(eventually([&] {
    return house.schema.connection()
               .run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 181 AND NOT granted")
               .integer(0, 0) == 1;
  }));
  settling.script("BEGIN");
  settling.run(complete_sql(first, std::to_string(id.value), std::to_string(lease)));
  holder.script("SELECT pg_advisory_unlock(181)");
  REQUIRE(waits_for(house, id));
  // The waiter has looked, and would sleep for as long as nobody tells it.
  const std::string asleep =
      "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace client' AND state = 'idle'"
      " AND query LIKE '%status%' AND query LIKE '%" +
      house.schema.name() + "%'";
  REQUIRE(eventually([&] { return house.schema.connection().run(asleep).integer(0, 0) > 0; }));
  settling.script("COMMIT");
  CHECK(waiting.wait_for(10s) == std::future_status::ready);
  CHECK(waiting.get().has_value());
}

TEST_CASE("a wait whose connection is cut goes on, and hears of an end that came meanwhile") {
  House house;
  const TaskId id = house.client.enqueue("work").id;
  auto waiting = std::async(std::launch::async, [&] { return house.client.wait(id, 30s); });
  REQUIRE(waits_for(house, id));
  // Cancelled in the transaction that cuts the connection: its notification reaches nobody.
  house.schema.connection().script(
      fmt::format("BEGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace client'"
                  " AND query LIKE '%{}%'; SELECT {}.cancel({}); COMMIT",
                  house.schema.name(), house.schema.quoted(), id.value));
  const auto ended = waiting.get();
  REQUIRE(ended.has_value());
  CHECK(ended->status == Status::cancelled);
}

TEST_CASE("a wait whose connection is cut while it begins goes on") {
  House house;
  const TaskId id = house.client.enqueue("work").id;
  Session holder(house.schema);
  holder.script("BEGIN; LOCK TABLE waits");
  auto waiting = std::async(std::launch::async, [&] { return house.client.wait(id, 30s); });
  const std::string beginning =
      "application_name = 'millrace client' AND wait_event_type = 'Lock' AND query LIKE '%" + house.schema.name() + "%'";
  REQUIRE(eventually([&] {
    return house.schema.connection()
               .run("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE " + beginning)
               .integer(0, 0) == 1;
  }));
  holder.script("COMMIT");
  house.client.cancel(id);
  CHECK(waiting.get()->status == Status::cancelled);
}

TEST_CASE("a client that does not listen waits by looking") {
  House house;
  Client poller({.database = house.schema.url(), .schema = house.schema.name(), .listen = false});
  const TaskId id = house.client.enqueue("work").id;
  auto waiting = std::async(std::launch::async, [&] { return poller.wait(id, 30s); });
  house.client.cancel(id);
  CHECK(waiting.get()->status == Status::cancelled);
  CHECK(house.count("waits") == 0);
}

TEST_CASE("progress is seen while the task runs, and kept after its end") {
  House house;
  std::latch go(1);
  Worker worker(house.options());
  worker.handle_raw("import", [&](Context& context) -> Outcome<std::string> {
    context.progress(1, 4, "first\xff");
    go.wait();
    context.progress(4, 4, "all");
    CHECK_THROWS_AS(context.progress(-1), InvalidArgument);
    CHECK_THROWS_AS(context.progress(1, -1), InvalidArgument);
    return std::string{};
  });
  worker.start();
  const TaskId id = house.client.enqueue("import").id;
  CHECK_FALSE(house.client.progress(house.client.enqueue("import", "{}", {.delay = 1h}).id).has_value());
  std::vector<Progress> seen;
  auto waiting =
      std::async(std::launch::async, [&] { return house.client.wait(id, 30s, [&](const Progress& one) { seen.push_back(one); }); });
  REQUIRE(eventually([&] { return house.client.progress(id).has_value(); }));
  CHECK(house.client.progress(id)->note == "first\xef\xbf\xbd");
  go.count_down();
  REQUIRE(waiting.get().has_value());
  REQUIRE(seen.size() >= 1);
  CHECK(seen.back().done == 4);
  CHECK(seen.back().total == 4);
  CHECK(house.client.progress(id)->note == "all");
  worker.stop();
}

TEST_CASE("log lines are kept: the latest 1000, cut, as valid text, over all attempts") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("chatty", [&](Context& context) -> Outcome<std::string> {
    if (context.attempt() == 1) {
      context.log("first\nsecond\r\n\nbad \xff" + std::string(1, '\0') + "byte");
      context.log(std::string(3000, 'x'));
      throw std::runtime_error("again");
    }
    for (int i = 0; i < 1500; ++i) context.log(fmt::format("line {}", i));
    return std::string{};
  });
  worker.start();
  const TaskId id = house.client.enqueue("chatty", "{}", {.backoff = millrace::fixed(1s)}).id;
  REQUIRE(eventually([&] { return house.client.logs(id).size() == 4; }));
  const auto early = house.client.logs(id);
  CHECK(early[0].text == "first");
  CHECK(early[0].seq == 1);
  CHECK(early[0].attempt == 1);
  CHECK(early[1].text == "second");
  CHECK(early[2].text ==
        "bad \xef\xbf\xbd\xef\xbf\xbd"
        "byte");
  CHECK(early[3].text.size() == 1999 + std::string_view("…").size());
  REQUIRE(house.client.wait(id, 30s).has_value());
  const auto late = house.client.logs(id);
  REQUIRE(late.size() == 1000);
  CHECK(late.back().text == "line 1499");
  CHECK(late.back().seq == 1504);
  CHECK(late.back().attempt == 2);
  CHECK(house.client.logs(id, 1503).size() == 1);
  CHECK(house.client.logs(id, 0, 1).front().text == "line 500");
  CHECK_THROWS_AS((void)house.client.logs(id, 0, 0), InvalidArgument);
  worker.stop();
}

TEST_CASE("what a run says that lost its lease is not recorded") {
  Schema schema;
  enroll(schema, first);
  test::enqueue(schema, 1);
  const auto lease = lease_of(schema.connection().run(claim_sql(first)));
  const auto report = [&](std::int64_t under, const char* line) {
    schema.connection().run(fmt::format(
        "SELECT record_reports('{}', '{{1}}', '{{{}}}', '{{1}}', '{{5}}', '{{10}}', '{{}}'::text[], '{{1}}', '{{1}}', '{{0}}', '{{0}}', "
        "ARRAY['{}'])",
        first, under, line));
  };
  report(lease, "mine");
  report(lease - 1, "a zombie");
  report(lease + 1, "nobody");
  CHECK(schema.value("SELECT string_agg(line, ', ') FROM task_logs") == "mine");
}

TEST_CASE("cancel reaches a running handler through LISTEN, long before its heartbeat") {
  House house;
  std::atomic<bool> running{false};
  Worker worker(patient(house));
  worker.handle_raw("work", [&](Context& context) -> Outcome<std::string> {
    running = true;
    await_stop(context.stop_token());
    throw std::runtime_error("stopped");
  });
  worker.start();
  const TaskId id = house.client.enqueue("work").id;
  REQUIRE(eventually([&] { return running.load(); }));
  CHECK(house.client.cancel(id) == Status::running);
  CHECK(house.client.wait(id, 30s)->status == Status::cancelled);
  worker.stop();
}

TEST_CASE("cancel reaches a running handler by heartbeat, if nobody listens") {
  House house;
  auto options = house.options();
  options.listen = false;
  options.poll_interval = 50ms;
  std::atomic<bool> running{false};
  Worker worker(options);
  worker.handle_raw("work", [&](Context& context) -> Outcome<std::string> {
    running = true;
    await_stop(context.stop_token());
    throw std::runtime_error("stopped");
  });
  worker.start();
  const TaskId id = house.client.enqueue("work").id;
  REQUIRE(eventually([&] { return running.load(); }));
  house.client.cancel(id);
  CHECK(house.client.wait(id, 30s)->status == Status::cancelled);
  worker.stop();
}

TEST_CASE("cancel, timeout and shutdown end the statement that a handler's session executes") {
  House house;
  for (const std::string how : {"cancel", "timeout", "shutdown"}) {
    CAPTURE(how);
    auto options = patient(house);
    options.grace = 1ms;
    options.stop_patience = 20s;
    Worker worker(options);
    worker.handle_raw("sleep", [](Context& context) -> Outcome<std::string> {
      context.transaction().exec("SELECT pg_sleep(600)");
      return std::string{};
    });
    worker.start();
    EnqueueOptions enqueue_options;
    enqueue_options.max_attempts = 1;
    if (how == "timeout") enqueue_options.timeout = 100ms;
    const TaskId id = house.client.enqueue("sleep", "{}", enqueue_options).id;
    REQUIRE(eventually([&] {
      return house.client.get(id)->finished_at ||
             house.schema.connection().run("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").integer(0, 0) > 0;
    }));
    if (how == "cancel") house.client.cancel(id);
    if (how == "shutdown") {
      CHECK(worker.stop());
      CHECK(house.status(id) == Status::pending);
      house.client.cancel(id);
      continue;
    }
    CHECK(house.client.wait(id, 30s)->status == (how == "cancel" ? Status::cancelled : Status::failed));
    CHECK(worker.stop());
  }
  house.consistent();
}

TEST_CASE("a task that is cancelled between its claim and its start does not start") {
  House house;
  std::latch go(1);
  std::atomic<int> runs{0};
  auto options = patient(house);
  options.queues = {{"default", 1}};
  Worker worker(options);
  worker.handle_raw("work", [&](Context&) -> Outcome<std::string> {
    ++runs;
    go.wait();
    return std::string{};
  });
  const auto ids = house.client.enqueue_many("work", std::vector<std::string>(2, "{}"));
  worker.start();
  REQUIRE(eventually([&] { return runs == 1; }));
  house.client.cancel(ids[1]);
  go.count_down();
  CHECK(house.client.wait(ids[0], 30s)->status == Status::completed);
  CHECK(house.client.wait(ids[1], 30s)->status == Status::cancelled);
  CHECK(runs == 1);
  worker.stop();
}

TEST_CASE("waits that nobody renews, and reports of tasks that are gone, are tidied away") {
  Schema schema;
  test::enqueue(schema, 1);
  schema.connection().script(
      "SELECT begin_wait(1); UPDATE waits SET expires_at = now() - interval '1 second';"
      " INSERT INTO reports (task, lease, attempt) VALUES (1, 1, 1), (2, 1, 1);"
      " INSERT INTO log_lines VALUES (1, 1, 1, now(), 'x'), (2, 1, 1, now(), 'y')");
  CHECK(schema.number("SELECT tidy_reports()") == 0);
  CHECK(schema.number("SELECT count(*) FROM waits") == 0);
  CHECK(schema.value("SELECT array_agg(task) FROM log_lines") == "{1}");
  CHECK(schema.value("SELECT array_agg(task) FROM reports") == "{1}");
}

TEST_CASE("what on_progress throws ends the wait, whatever it is") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("steps", [](Context& context) -> Outcome<std::string> {
    context.progress(1, 2);
    await_stop(context.stop_token());
    return std::string();
  });
  worker.start();
  const TaskId id = house.client.enqueue("steps").id;
  int calls = 0;
  // Such as that of the callback's own client: it says nothing about the wait's connection.
  const auto refuse = [&](const Progress&) {
    ++calls;
    throw ConnectionError("the callback's own database is away");
  };
  CHECK_THROWS_WITH_AS(house.client.wait(id, 20s, refuse), "the callback's own database is away", ConnectionError);
  CHECK(calls == 1);
  house.client.cancel(id);
  CHECK(house.client.wait(id, 20s).has_value());
}
