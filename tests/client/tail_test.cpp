// Following a queue: look by look with a worker played by hand, and on a thread beside a real one.
#include "engine/tail.hpp"
#include "engine/worker_sql.hpp"
#include "support/schema.hpp"
#include "support/wait.hpp"
#include "worker/house.hpp"

#include <algorithm>
#include <future>
#include <mutex>
#include <thread>

using namespace millrace;
using namespace millrace::test;

namespace {

// Transitions as one text: `1:pending 1:running`.
std::string story(const std::vector<Transition>& transitions) {
  std::string text;
  for (const Transition& one : transitions) text += fmt::format("{}{}:{}", text.empty() ? "" : " ", one.id.value, to_string(one.status));
  return text;
}

struct Room {
  Schema schema{};
  std::unique_ptr<postgres::Connection> link = schema.open();

  explicit Room() { enroll(schema, first); }
  std::vector<Transition> look(engine::Tail& tail) const { return tail.look(*link); }
  std::string told(engine::Tail& tail) const { return story(tail.look(*link)); }
  std::int64_t claim(int batch = 10) { return lease_of(schema.connection().run(claim_sql(first, batch))); }
  void complete(const std::string& ids, const std::string& leases) { schema.connection().run(complete_sql(first, ids, leases)); }
  void fail(int id, std::int64_t lease, bool final) {
    schema.connection().run(
        fmt::format("SELECT * FROM fail('{}', '{{{}}}', '{{{}}}', '{{no paper}}', '{{{}}}', '{{1 hour}}')", first, id, lease, final));
  }
};

}  // namespace

TEST_CASE("each transition is told once, with what its row says") {
  Room room;
  enqueue(room.schema, 1);
  engine::Tail tail({}, room.schema.name());
  CHECK(room.told(tail).empty());  // what was there before is no news
  room.schema.connection().run("SELECT enqueue('mail', correlation => 'order-7')");
  const auto pending = room.look(tail);
  REQUIRE(story(pending) == "2:pending");
  CHECK(pending[0].kind == "mail");
  CHECK(pending[0].queue == "default");
  CHECK(pending[0].attempt == 0);
  CHECK(pending[0].max_attempts == 5);
  CHECK(pending[0].correlation == "order-7");
  CHECK_FALSE(pending[0].run_at.has_value());

  const auto lease = room.claim();
  const auto running = room.look(tail);
  REQUIRE(story(running) == "1:running 2:running");
  CHECK(running[1].attempt == 1);
  CHECK_FALSE(running[1].duration.has_value());
  CHECK(room.told(tail).empty());

  room.complete("1", std::to_string(lease));
  room.fail(2, lease, false);
  const auto ended = room.look(tail);
  REQUIRE(story(ended) == "1:completed 2:retrying");
  CHECK(ended[0].duration.has_value());
  CHECK(ended[0].error.empty());
  CHECK(ended[1].duration.has_value());
  CHECK(ended[1].error == "no paper");
  CHECK(ended[1].run_at > ended[1].at + 50min);
  // The lease still names both of them.
  CHECK(room.schema.number("SELECT count(*) FROM leases") == 1);
  CHECK(room.told(tail).empty());

  room.schema.connection().run("SELECT cancel(2)");
  const auto cancelled = room.look(tail);
  REQUIRE(story(cancelled) == "2:cancelled");
  CHECK_FALSE(cancelled[0].duration.has_value());
  CHECK(cancelled[0].error.empty());
  room.schema.connection().run("SELECT retry(2)");
  CHECK(room.told(tail) == "2:pending");
}

TEST_CASE("what happened between two looks is told as far as the rows tell") {
  Room room;
  engine::Tail tail({}, room.schema.name());
  CHECK(room.told(tail).empty());
  enqueue(room.schema, 2);
  room.schema.connection().run("SELECT enqueue('later', delay => '1 hour')");
  const auto lease = room.claim();
  room.complete("1", std::to_string(lease));
  room.fail(2, lease, true);
  // By time; the ends last, because each call was a transaction of its own.
  CHECK(room.told(tail) == "1:pending 2:pending 3:scheduled 1:running 2:running 1:completed 2:failed");
  room.schema.connection().run("DELETE FROM tasks WHERE id = 1");
  CHECK(room.told(tail).empty());
}

TEST_CASE("of a backlog, the next in line and the dead are seen though nobody saw them enqueued or running") {
  Room room;
  enqueue(room.schema, 3000);
  engine::Tail tail({}, room.schema.name());
  CHECK(room.told(tail).empty());
  const auto lease = room.claim(2);
  room.complete("1,2", fmt::format("{0},{0}", lease));
  room.schema.connection().run(fmt::format("DELETE FROM leases WHERE id = {}", lease));
  CHECK(room.told(tail) == "1:running 2:running 1:completed 2:completed");
  // Beyond the next 1,000 nothing but a dead letter leaves a trace that is looked at.
  room.schema.connection().run(
      "UPDATE tasks SET status = 'failed', attempt = 1, started_at = clock(), finished_at = clock(), dead_at = clock() WHERE id = 2900");
  CHECK(room.told(tail) == "2900:running 2900:failed");
  CHECK(room.told(tail).empty());
}

TEST_CASE("a transaction that commits later than others with higher ids is not overlooked") {
  Room room;
  engine::Tail tail({}, room.schema.name());
  CHECK(room.told(tail).empty());
  Session slow(room.schema);
  slow.script("BEGIN");
  slow.run("SELECT enqueue_many('slow', array_fill('{}'::jsonb, ARRAY[3]))");
  Session rolled_back(room.schema);
  rolled_back.script("BEGIN");
  rolled_back.run("SELECT enqueue('never')");
  enqueue(room.schema, 1);
  CHECK(room.told(tail) == "5:pending");
  rolled_back.script("ROLLBACK");
  CHECK(room.told(tail).empty());
  slow.script("COMMIT");
  CHECK(room.told(tail) == "1:pending 2:pending 3:pending");
  CHECK(room.told(tail).empty());
  enqueue(room.schema, 1);
  CHECK(room.told(tail) == "6:pending");
}

TEST_CASE("a flood is cut off, counted, and passed over") {
  Room room;
  engine::Tail tail({}, room.schema.name());
  CHECK(room.told(tail).empty());
  enqueue(room.schema, 7000);
  CHECK(room.look(tail).size() == 5000);
  CHECK(tail.skipped() == 2000);
  CHECK(room.told(tail).empty());
  CHECK(tail.skipped() == 0);
  enqueue(room.schema, 1);
  CHECK(room.told(tail) == "7001:pending");
  // More is claimed than is remembered: nothing is told twice.
  std::size_t told = 0;
  for (int i = 0; i < 8; ++i) {
    const auto lease = room.claim(500);
    CHECK(room.told(tail).find("completed") == std::string::npos);
    room.schema.connection().run(
        fmt::format("SELECT count(*) FROM (SELECT array_agg(id) AS ids FROM tasks WHERE lease = {1}) t,"
                    " complete('{0}', t.ids, array_fill('(0,0)'::tid, ARRAY[500]), array_fill({1}::bigint, ARRAY[500]))",
                    first, lease));
    const auto ended = room.look(tail);
    told += static_cast<std::size_t>(
        std::count_if(ended.begin(), ended.end(), [](const Transition& one) { return one.status == Status::completed; }));
  }
  CHECK(told == 4000);
  CHECK(room.told(tail).empty());
}

TEST_CASE("queue, kind, correlation and since choose what is told") {
  Room room;
  room.schema.connection().run("SELECT enqueue('old', correlation => 'c')");
  engine::Tail by_queue({.queue = "mail"}, room.schema.name()), by_kind({.kind = "b"}, room.schema.name()),
      by_correlation({.correlation = "c"}, room.schema.name()), late({.since = 1h}, room.schema.name());
  for (engine::Tail* tail : {&by_queue, &by_kind, &by_correlation}) CHECK(room.told(*tail).empty());
  CHECK(room.told(late) == "1:pending");
  room.schema.connection().run("SELECT enqueue('a', queue => 'mail')");
  room.schema.connection().run("SELECT enqueue('b', correlation => 'c')");
  CHECK(room.told(by_queue) == "2:pending");
  CHECK(room.told(by_kind) == "3:pending");
  CHECK(room.told(by_correlation) == "3:pending");
  CHECK(room.told(late) == "2:pending 3:pending");
  const auto lease = room.claim();
  room.fail(1, lease, true);
  room.complete("3", std::to_string(lease));
  CHECK(room.told(by_queue).empty());
  CHECK(room.told(by_kind) == "3:running 3:completed");
  CHECK(room.told(by_correlation) == "1:running 3:running 1:failed 3:completed");
  engine::Tail all({.since = 1h}, room.schema.name());
  CHECK(room.told(all) == "1:pending 2:pending 3:pending 1:running 3:running 1:failed 3:completed");
  room.schema.connection().run("UPDATE tasks SET created_at = clock() - interval '2 hours'");
  engine::Tail some({.queue = "default", .since = 1h}, room.schema.name());
  CHECK(room.told(some) == "1:running 3:running 1:failed 3:completed");
}

TEST_CASE("a look reads a bounded number of rows by index, whatever waits") {
  Room room;
  enqueue(room.schema, 20'000);
  engine::Tail tail({}, room.schema.name());
  CHECK(room.told(tail).empty());
  const auto read = [&](const std::string& what) {
    room.link->run("SELECT pg_stat_force_next_flush()");
    return room.schema.number(
        "SELECT sum(" + what +
        ") FROM pg_stat_user_tables WHERE relname IN ('tasks', 'tickets', 'leases') AND schemaname = current_schema()");
  };
  const auto by_scan = read("seq_tup_read");
  const auto by_index = read("idx_tup_fetch");
  for (int i = 0; i < 3; ++i) CHECK(room.told(tail).empty());
  // The sequential scan of an empty table reads no row; 20,000 wait in tasks and in tickets.
  CHECK(read("seq_tup_read") == by_scan);
  CHECK(eventually([&] { return read("idx_tup_fetch") > by_index; }));
  CHECK(read("idx_tup_fetch") - by_index < 3 * 5000);
  CHECK_THROWS_AS(engine::Tail({.interval = 49ms}, room.schema.name()), InvalidArgument);
  CHECK_THROWS_AS(engine::Tail({.since = 0ms}, room.schema.name()), InvalidArgument);
  CHECK_THROWS_AS(engine::Tail({.queue = ""}, room.schema.name()), InvalidArgument);
}

TEST_CASE("a look is one transaction, also without session state") {
  Room room;
  const auto stateless = std::make_unique<postgres::Connection>(
      postgres::Dial{.url = room.schema.url(), .application = "millrace test", .schema = room.schema.name(), .session = false});
  enqueue(room.schema, 1);
  engine::Tail tail({.since = 1h}, room.schema.name());
  room.schema.connection().script(
      "CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$ BEGIN"
      " IF current_query() ~ 'lanes|known' AND current_setting('transaction_isolation') || current_setting('enable_sort')"
      "  <> 'repeatable readoff' THEN RAISE 'in a transaction of its own'; END IF; RETURN now(); END $$");
  CHECK(story(tail.look(*stateless)) == "1:pending");
}

TEST_CASE("what a look had seen when its connection broke is told by the next one, once") {
  // Before which of its statements: it finds and reads a page of ids, and then another.
  for (const std::string cut : {"find", "find read", "find read find", "find read find read"}) {
    CAPTURE(cut);
    Room room;
    engine::Tail tail({}, room.schema.name());
    CHECK(room.told(tail).empty());
    room.schema.connection().script(
        fmt::format("CREATE TABLE cut (before text); INSERT INTO cut VALUES ('{}');"
                    "CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE plpgsql AS $$"
                    " DECLARE steps text := coalesce(current_setting('millrace_test.steps', true), '');"
                    "  step text := CASE WHEN current_query() ~ '^WITH RECURSIVE lanes' THEN 'find' WHEN current_query() ~ '^WITH known' "
                    "THEN 'read' END;"
                    " BEGIN"
                    "  IF step IS NOT NULL AND steps !~ (step || '$') THEN"
                    "   steps := ltrim(steps || ' ' || step);"
                    "   PERFORM set_config('millrace_test.steps', steps, true);"
                    "   IF EXISTS (SELECT FROM {}.cut WHERE before = steps) THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;"
                    "  END IF;"
                    "  RETURN now();"
                    " END $$",
                    cut, room.schema.quoted()));
    enqueue(room.schema, 1500);
    CHECK_THROWS_AS(room.look(tail), ConnectionError);
    room.schema.connection().run("DELETE FROM cut");
    room.link = room.schema.open();
    enqueue(room.schema, 1);
    const auto told = room.look(tail);
    CHECK(told.size() == 1501);
    CHECK(std::is_sorted(told.begin(), told.end(), [](const Transition& a, const Transition& b) { return a.id.value < b.id.value; }));
    CHECK(std::all_of(told.begin(), told.end(), [](const Transition& one) { return one.status == Status::pending; }));
    CHECK(room.told(tail).empty());
  }
}

TEST_CASE("Client::tail follows a worker until it is told to stop, and survives the loss of its connection") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("fine", nothing);
  worker.start();
  std::mutex mutex;
  std::vector<Transition> seen;
  std::promise<void> ready;
  std::stop_source stop;
  std::thread follower([&] {
    house.client.tail(
        {.interval = 50ms, .on_ready = [&] { ready.set_value(); }},
        [&](const Transition& one) {
          const std::lock_guard lock(mutex);
          seen.push_back(one);
        },
        stop.get_token());
  });
  const auto told = [&](TaskId id) {
    return eventually([&] {
      const std::lock_guard lock(mutex);
      return std::any_of(seen.begin(), seen.end(), [&](const Transition& one) { return one.id == id && one.status == Status::completed; });
    });
  };
  ready.get_future().wait();
  // Other calls of the client need not wait for it.
  CHECK(told(house.client.enqueue("fine").id));
  // The client has two sessions: that of these calls is the one that asks.
  const auto killed = house.schema.number(
      "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'millrace client'"
      " AND query = 'COMMIT' AND state = 'idle' AND datname = current_database()");
  CHECK(killed >= 1);
  CHECK(told(house.client.enqueue("fine").id));
  stop.request_stop();
  follower.join();
  {
    const std::lock_guard lock(mutex);
    CHECK(story(seen) == "1:pending 1:running 1:completed 2:pending 2:running 2:completed");
  }
  CHECK_THROWS_AS(house.client.tail({}, {}, stop.get_token()), InvalidArgument);
}
