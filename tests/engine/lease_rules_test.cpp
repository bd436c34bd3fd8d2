// The protocol's rules for settling, leases and death, in SQL alone. Each case fails without its rule.
#include "engine/worker_sql.hpp"
#include "support/wait.hpp"

using namespace millrace;
using namespace millrace::test;

TEST_CASE("rule 8: nothing is written without the lease, and repeating a settlement is success") {
  Schema schema;
  enroll(schema, first);
  enroll(schema, second);
  enqueue(schema, 3);
  const auto lease = lease_of(schema.connection().run(claim_sql(first)));
  const std::string good = std::to_string(lease);
  const auto lost = [&](const postgres::Result& rows) { return rows.size() == 1 && rows.text(0, 1) == "lost"; };
  CHECK(lost(schema.connection().run(complete_sql(first, "1", std::to_string(lease + 1)))));
  CHECK(lost(schema.connection().run(complete_sql(second, "1", good))));
  CHECK(lost(schema.connection().run(fmt::format("SELECT id, verdict FROM fail('{}', '{{1}}', '{{{}}}', '{{x}}')", second, good))));
  CHECK(lost(schema.connection().run(fmt::format("SELECT id, verdict FROM release('{}', '{{1}}', '{{{}}}')", second, good))));
  CHECK(status(schema, 1) == "running");
  CHECK(schema.connection().run(complete_sql(first, "1", good)).size() == 0);
  CHECK(schema.connection().run(complete_sql(first, "1", good)).size() == 0);
  // A release repeated after the task was claimed again must not take it from its new lease.
  const std::string release = fmt::format("SELECT id, verdict FROM release('{}', '{{2}}', '{{{}}}')", first, good);
  CHECK(schema.connection().run(release).size() == 0);
  schema.connection().run(claim_sql(first, 1));
  CHECK(lost(schema.connection().run(release)));
  CHECK(status(schema, 2) == "running");
  consistent(schema);
}

TEST_CASE("rule 9: asking to cancel a running task does not touch its row") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 1);
  const auto lease = lease_of(schema.connection().run(claim_sql(first)));
  const std::string before = schema.value("SELECT xmin || ' ' || ctid FROM tasks");
  CHECK(schema.value("SELECT cancel(1)") == "running");
  CHECK(schema.value("SELECT xmin || ' ' || ctid FROM tasks") == before);
  CHECK(schema.value(fmt::format("SELECT cancelled FROM heartbeat('{}', '{{{}}}')", first, lease)) == "{1}");
  schema.connection().run(fmt::format("SELECT * FROM fail('{}', '{{1}}', '{{{}}}', '{{stopped}}')", first, lease));
  CHECK(status(schema, 1) == "cancelled");
}

TEST_CASE("rule 10: in a handler's own transaction the lease is asserted last, and completing is not repeatable") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 2);
  const auto lease = lease_of(schema.connection().run(claim_sql(first)));
  Session handler(schema);
  const auto refused = [&](const std::string& call) {
    handler.script("BEGIN");
    handler.start("SELECT " + call);
    const std::string state = handler.finish();
    handler.script("ROLLBACK");
    return state;
  };
  CHECK(refused(fmt::format("assert_lease(1, {})", lease)).empty());
  CHECK(refused(fmt::format("assert_lease(1, {})", lease + 1)) == "MR001");
  CHECK(refused(fmt::format("assert_lease(3, {})", lease)) == "MR001");
  CHECK(refused(fmt::format("complete_task(1, {})", lease + 1)) == "MR001");
  handler.run(fmt::format("SELECT complete_task(1, {}, '42')", lease));
  CHECK(schema.value("SELECT result FROM tasks WHERE id = 1") == "42");
  // Its writes would be there twice.
  CHECK(refused(fmt::format("complete_task(1, {})", lease)) == "MR001");
  // What a worker says after a commit whose answer was lost: the row is read first, and stays as it is.
  CHECK(schema.connection().run(fmt::format("SELECT id FROM fail('{}', '{{1}}', '{{{}}}', '{{unknown}}')", first, lease)).size() == 0);
  CHECK(status(schema, 1) == "completed");
  // The assertion holds until the transaction ends: rescue steps over the task.
  handler.script("BEGIN");
  handler.run(fmt::format("SELECT assert_lease(2, {})", lease));
  schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 hour'");
  schema.connection().run("SELECT rescue()");
  CHECK(status(schema, 2) == "running");
  handler.script("COMMIT");
  schema.connection().run("SELECT rescue()");
  CHECK(status(schema, 2) == "retrying");
  CHECK(refused(fmt::format("assert_lease(2, {})", lease)) == "MR001");
}

TEST_CASE("rule 11: a lease that its worker does not name is given back, uncounted; a dead worker's is rescued") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 2);
  const auto named = lease_of(schema.connection().run(claim_sql(first, 1)));
  schema.connection().run(claim_sql(first, 1));
  schema.connection().run("UPDATE leases SET claimed_at = now() - interval '1 hour'");
  CHECK(schema.value(fmt::format("SELECT registered FROM heartbeat('{}', '{{{}}}')", first, named)) == "t");
  CHECK(status(schema, 1) == "running");
  CHECK(status(schema, 2) == "pending");
  CHECK(schema.number("SELECT attempt FROM tasks WHERE id = 2") == 0);
  schema.connection().run("DELETE FROM workers");
  CHECK(schema.number("SELECT rescued FROM rescue()") == 1);
  CHECK(status(schema, 1) == "retrying");
  // Its late completion is refused from now on, not only once somebody has claimed the task again.
  const auto late = schema.connection().run(complete_sql(first, "1", std::to_string(named)));
  REQUIRE(late.size() == 1);
  CHECK(late.text(0, 1) == "lost");
  CHECK(schema.value(fmt::format("SELECT registered FROM heartbeat('{}', '{{}}')", first)) == "f");
  consistent(schema);
}

TEST_CASE("rule 12: a dead worker's sessions end before its tasks are rescued; a session is known by pid and start") {
  Schema schema;
  enroll(schema, first, "1 second");
  enqueue(schema, 2);
  Session stuck(schema);
  Session bystander(schema);
  stuck.run(fmt::format("SELECT attach_session('{}')", first));
  // The same pid at another time is another session.
  schema.connection().run(fmt::format("INSERT INTO worker_sessions VALUES ('{}', {}, 'epoch')", first, bystander.pid()));
  stuck.script("BEGIN");
  stuck.run(claim_sql(first, 2));
  schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 minute'");
  CHECK(schema.number("SELECT dead_workers FROM rescue()") == 1);
  CHECK(eventually([&] { return schema.number(fmt::format("SELECT count(*) FROM pg_stat_activity WHERE pid = {}", stuck.pid())) == 0; }));
  CHECK(schema.number(fmt::format("SELECT count(*) FROM pg_stat_activity WHERE pid = {}", bystander.pid())) == 1);
  enroll(schema, second);
  CHECK(tasks_in(schema.connection().run(claim_sql(second))) == 2);
  consistent(schema);
}

TEST_CASE("rule 13: two halves of a lease settle side by side, and the lease row waits for its worker") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 2);
  const auto lease = lease_of(schema.connection().run(claim_sql(first)));
  Session one(schema);
  one.script("BEGIN");
  one.run(complete_sql(first, "1", std::to_string(lease)));
  CHECK(schema.connection().run(complete_sql(first, "2", std::to_string(lease))).size() == 0);
  one.script("COMMIT");
  CHECK(schema.number("SELECT count(*) FROM leases") == 1);
  CHECK(schema.number(fmt::format("SELECT drop_leases('{}', '{{{}}}')", first, lease)) == 1);
}

TEST_CASE("rule 14: tasks rescued together are claimed one at a time, and only a lonely death uses up the last attempt") {
  Schema schema;
  enroll(schema, first);
  schema.connection().run("SELECT enqueue_many('k', array_fill('{}'::jsonb, '{3}'), max_attempts => 1)");
  schema.connection().run(claim_sql(first));
  const auto die = [&](const char* worker) {
    schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 hour'");
    const auto rescued = schema.number("SELECT rescued FROM rescue()");
    enroll(schema, worker);
    return rescued;
  };
  CHECK(die(second) == 3);
  CHECK(schema.number("SELECT count(*) FROM tickets WHERE bucket = -1") == 3);
  CHECK(tasks_in(schema.connection().run(claim_sql(second))) == 0);
  CHECK(tasks_in(schema.connection().run(claim_sql(second, 10, false, true))) == 1);
  CHECK(die(first) == 1);
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'failed'") == 1);
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'retrying'") == 2);
  consistent(schema);
}

TEST_CASE("rule 14: what died beside others did so also if it is rescued later than they") {
  Schema schema;
  enroll(schema, first);
  schema.connection().run("SELECT enqueue_many('k', array_fill('{}'::jsonb, '{2}'), max_attempts => 1)");
  const auto lease = lease_of(schema.connection().run(claim_sql(first)));
  const auto rescued = [&] {
    schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 hour'");
    return schema.number("SELECT rescued FROM rescue()");
  };
  Session holder(schema);
  holder.script("BEGIN");
  holder.run("SELECT FROM tasks WHERE id = 2 FOR UPDATE");
  CHECK(rescued() == 1);
  CHECK(rescued() == 0);
  holder.script("ROLLBACK");
  CHECK(rescued() == 1);
  for (int id : {1, 2}) {
    CHECK(status(schema, id) == "retrying");
    CHECK(schema.value(fmt::format("SELECT errors -> -1 ->> 'message' FROM tasks WHERE id = {}", id)) ==
          "the worker died while it ran this task beside others");
  }
  CHECK(schema.number("SELECT count(*) FROM workers") == 0);
  consistent(schema);

  // One that lives after all, and dies alone later, is judged by that death.
  enroll(schema, first);
  schema.connection().run("SELECT enqueue_many('k', array_fill('{}'::jsonb, '{2}'), max_attempts => 1)");
  const auto again = lease_of(schema.connection().run(claim_sql(first)));
  CHECK(again != lease);
  holder.script("BEGIN");
  holder.run("SELECT FROM tasks WHERE id = 4 FOR UPDATE");
  CHECK(rescued() == 1);
  holder.script("ROLLBACK");
  CHECK(schema.value(fmt::format("SELECT registered FROM heartbeat('{}', '{{{}}}')", first, again)) == "t");
  CHECK(rescued() == 1);
  CHECK(status(schema, 3) == "retrying");
  CHECK(status(schema, 4) == "failed");
  consistent(schema);
}

TEST_CASE("rule 14: a suspect that is given back without having begun is claimed alone still; one that snoozed is not") {
  Schema schema;
  enroll(schema, first);
  schema.connection().run("SELECT enqueue_many('k', array_fill('{}'::jsonb, '{2}'), max_attempts => 1)");
  schema.connection().run(claim_sql(first));
  schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 hour'");
  REQUIRE(schema.number("SELECT rescued FROM rescue()") == 2);
  enroll(schema, second);
  const auto claim_suspect = [&] {
    const auto rows = schema.connection().run(claim_sql(second, 1, false, true));
    REQUIRE(tasks_in(rows) == 1);
    CHECK(rows.integer(0, 0) == 1);
    return lease_of(rows);
  };
  const auto place = [&] {
    return schema.value(
        "SELECT t.status || ' ' || t.attempt || ' in ' || k.bucket FROM tasks t JOIN tickets k ON k.id = t.id WHERE t.id = 1");
  };
  schema.connection().run(fmt::format("SELECT * FROM release('{}', '{{1}}', '{{{}}}')", second, claim_suspect()));
  CHECK(place() == "retrying 0 in -1");
  // A claim whose answer was lost.
  claim_suspect();
  schema.connection().run("UPDATE leases SET claimed_at = now() - interval '1 hour'");
  schema.connection().run(fmt::format("SELECT * FROM heartbeat('{}', '{{}}')", second));
  CHECK(place() == "retrying 0 in -1");
  schema.connection().run(fmt::format("SELECT * FROM release('{}', '{{1}}', '{{{}}}', '1 hour')", second, claim_suspect()));
  CHECK(place() == "retrying 0 in 2");
  consistent(schema);
}

TEST_CASE("rule 15: completing by hint against rescuing does not deadlock") {
  Schema schema;
  for (int round = 0; round < 5; ++round) {
    enroll(schema, first, "1 second");
    enqueue(schema, 200);
    const auto rows = schema.connection().run(claim_sql(first, 200));
    const auto lease = lease_of(rows);
    schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 minute'");
    Session completer(schema);
    completer.start(
        fmt::format("SELECT count(c.*) FROM (SELECT array_agg(id ORDER BY id DESC) AS ids, array_agg(ctid ORDER BY id DESC) AS hints FROM "
                    "tasks WHERE lease = {1}) a,"
                    " LATERAL complete('{0}', a.ids, a.hints, array_fill({1}::bigint, '{{200}}')) c",
                    first, lease));
    schema.connection().run("SELECT * FROM rescue()");
    CHECK(completer.finish().empty());
    // What the completion held was stepped over: the next cycle meets it.
    schema.connection().run("SELECT * FROM rescue()");
    consistent(schema);
    schema.connection().script("TRUNCATE tasks, tickets, leases, workers, worker_sessions");
  }
}

TEST_CASE("rule 15: cancel against claim takes the ticket before the task, on both sides") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 1);
  Session claimer(schema);
  claimer.script("BEGIN");
  claimer.run(claim_sql(first));
  Session person(schema);
  person.start("SELECT cancel(1)");
  REQUIRE(person.blocked(schema));
  claimer.script("COMMIT");
  CHECK(person.finish().empty());
  CHECK(person.rows().text(0, 0) == "running");
  consistent(schema);
}

TEST_CASE("a dead letter is forwarded once for each death, also while the clock stands") {
  Schema schema;
  schema.connection().run(
      "CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT timestamptz ''2026-06-01'''");
  enroll(schema, first);
  schema.connection().run("SELECT set_dead_queue('default', 'morgue'), enqueue('k', max_attempts => 1)");
  const auto die = [&] {
    const auto rows = schema.connection().run(claim_sql(first));
    REQUIRE(tasks_in(rows) == 1);
    const std::string fail = fmt::format("SELECT * FROM fail('{}', '{{1}}', '{{{}}}', '{{no}}')", first, lease_of(rows));
    CHECK(schema.connection().run(fail).size() == 1);
    // Its answer was lost, so it is sent again.
    CHECK(schema.connection().run(fail).size() == 0);
    schema.connection().run(fmt::format("SELECT drop_leases('{}', '{{{}}}')", first, lease_of(rows)));
  };
  die();
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE queue = 'morgue' AND forwarded_from = 1") == 1);
  schema.connection().run("SELECT retry(1)");
  die();
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE queue = 'morgue' AND forwarded_from = 1") == 2);
  schema.connection().run("SELECT retry(1)");
  schema.connection().run(claim_sql(first));
  // And by the rescue: it ran alone.
  schema.connection().run("UPDATE workers SET seen_at = clock() - interval '1 hour'");
  CHECK(schema.number("SELECT rescued FROM rescue()") == 1);
  CHECK(status(schema, 1) == "failed");
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE queue = 'morgue' AND forwarded_from = 1") == 3);
  consistent(schema);
}

TEST_CASE("dead-letter queues form no circle, also not from a transaction that sees an older state") {
  Schema schema;
  Session older(schema);
  older.script("BEGIN ISOLATION LEVEL REPEATABLE READ");
  older.run("SELECT count(*) FROM dead_queues");
  schema.connection().run("SELECT set_dead_queue('a', 'b')");
  older.start("SELECT set_dead_queue('b', 'a')");
  CHECK(older.finish() == "25001");
  older.script("ROLLBACK");
  older.start("SELECT set_dead_queue('b', 'a')");
  CHECK(older.finish() == "22023");
  CHECK(schema.number("SELECT count(*) FROM dead_queues") == 1);
}
