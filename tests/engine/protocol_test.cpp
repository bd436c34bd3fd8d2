// The rules of the protocol, in SQL alone. Each case fails without its rule.
#include "support/schema.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace millrace;
using test::eventually;
using test::Schema;
using test::Session;

namespace {

constexpr const char* first = "00000000-0000-4000-8000-00000000000a";
constexpr const char* second = "00000000-0000-4000-8000-00000000000b";

void enroll(Schema& schema, const char* worker, const char* ttl = "30 seconds") {
  schema.connection().run(fmt::format("SELECT register_worker('{}', 'w', 'h', 1, '0', '{{default}}', '{}')", worker, ttl));
}

std::string claim_sql(const char* worker, int batch = 10, bool careful = false, bool suspect = false) {
  return fmt::format(
      "SELECT id, hint, kind, args FROM claim('{}', 'default', {}, array_fill('-infinity'::timestamptz, '{{5}}'), array_fill(0, '{{5}}'), "
      "{}, {})",
      worker, batch, careful, suspect);
}

// The lease of a claim's answer, from its footer.
std::int64_t lease_of(const postgres::Result& rows) { return rows.integer(rows.size() - 1, 0); }
int tasks_in(const postgres::Result& rows) { return rows.size() - 1; }

std::string complete_sql(const char* worker, const std::string& ids, const std::string& leases, bool careful = false) {
  return fmt::format(
      "SELECT id, verdict FROM complete('{}', '{{{}}}', array_fill('(0,0)'::tid, ARRAY[cardinality('{{{}}}'::int[])]), '{{{}}}', careful "
      "=> {})",
      worker, ids, ids, leases, careful);
}

void enqueue(Schema& schema, int tasks) {
  schema.connection().run(fmt::format("SELECT enqueue_many('k', array_fill('{{}}'::jsonb, ARRAY[{}]))", tasks));
}

std::string status(Schema& schema, int id) { return schema.value(fmt::format("SELECT status FROM tasks WHERE id = {}", id)); }

void consistent(Schema& schema) { CHECK(schema.number("SELECT count(*) FROM doctor()") == 0); }

}  // namespace

TEST_CASE("rule 1: a task that is edited while it is claimed is claimed all the same") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 3);
  Session person(schema);
  Session claimer(schema);
  person.script("BEGIN");
  person.run("UPDATE tasks SET args = '{\"edited\": true}' WHERE id = 2 RETURNING id");
  claimer.script(
      "SET lock_timeout = '10s'; ALTER FUNCTION claim(uuid, text, integer, timestamptz[], bigint[], boolean, boolean) SET lock_timeout = "
      "'10s'");
  claimer.start(claim_sql(first));
  REQUIRE(claimer.blocked(schema));
  person.script("COMMIT");
  CHECK(claimer.finish().empty());
  CHECK(tasks_in(claimer.rows()) == 3);
  consistent(schema);
}

TEST_CASE("rule 1: hints that VACUUM FULL made stale are not believed") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 50);
  schema.connection().run("DELETE FROM tickets WHERE id <= 10");
  schema.connection().run("DELETE FROM tasks WHERE id <= 10");
  schema.connection().script("VACUUM FULL tasks");
  const auto rows = schema.connection().run(claim_sql(first, 100));
  CHECK(tasks_in(rows) == 40);
  const auto lease = lease_of(rows);
  schema.connection().script("VACUUM FULL tasks");
  const std::string complete = fmt::format(
      "SELECT c.id FROM (SELECT array_agg(t.id) AS ids, array_agg('(0,1)'::tid) AS hints, array_agg({1}::bigint) AS leases FROM tasks t) a,"
      " LATERAL complete('{0}', a.ids, a.hints, a.leases) c",
      first, lease);
  CHECK(schema.connection().run(complete).size() == 0);
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'completed'") == 40);
  consistent(schema);
}

TEST_CASE("rule 2: tickets are inserted and deleted, never updated") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 20);
  const auto lease = lease_of(schema.connection().run(claim_sql(first, 5)));
  schema.connection().run(complete_sql(first, "1,2", fmt::format("{0},{0}", lease)));
  schema.connection().run(fmt::format("SELECT * FROM fail('{}', '{{3}}', '{{{}}}', '{{no}}')", first, lease));
  schema.connection().run(fmt::format("SELECT * FROM release('{}', '{{4}}', '{{{}}}')", first, lease));
  schema.connection().run("SELECT cancel(10)");
  schema.connection().run("SELECT pg_stat_force_next_flush()");
  CHECK(schema.number("SELECT n_tup_upd FROM pg_stat_all_tables WHERE schemaname = current_schema() AND relname = 'tickets'") == 0);
}

TEST_CASE("rule 3: empty means that no ticket was consumed") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 20);
  schema.connection().run("UPDATE tasks SET status = 'cancelled' WHERE id <= 10");
  const auto rows = schema.connection().run(claim_sql(first, 10));
  CHECK(tasks_in(rows) == 0);
  CHECK(rows.text(0, 3).find("\"took\": 10") != std::string_view::npos);
  CHECK(tasks_in(schema.connection().run(claim_sql(first, 10))) == 10);
  consistent(schema);
}

TEST_CASE("rule 4: the claim stays on its index although the statistics say the tables are empty") {
  Schema schema;
  enroll(schema, first);
  schema.connection().script("ANALYZE tasks; ANALYZE tickets");
  schema.connection().run(
      "WITH t AS (INSERT INTO tasks (kind) SELECT 'k' FROM generate_series(1, 1000000) RETURNING queue, priority / 25 AS bucket, run_at, "
      "id, ctid)"
      " INSERT INTO tickets SELECT * FROM t");
  const auto scans = [&] {
    schema.connection().run("SELECT pg_stat_force_next_flush()");
    return schema.number(
        "SELECT sum(seq_scan) FROM pg_stat_all_tables WHERE schemaname = current_schema() AND relname IN ('tasks', 'tickets')");
  };
  const auto fetched = [&] {
    schema.connection().run("SELECT pg_stat_clear_snapshot()");
    return schema.number(
        "SELECT idx_tup_read FROM pg_stat_all_indexes WHERE schemaname = current_schema() AND indexrelname = 'tickets_claim'");
  };
  const auto scans_before = scans();
  const auto fetched_before = fetched();
  const auto rows = schema.connection().run(claim_sql(first, 500));
  CHECK(tasks_in(rows) == 500);
  CHECK(scans() == scans_before);
  // A bitmap scan with a sort would read all of the million.
  CHECK(fetched() - fetched_before < 2000);
}

TEST_CASE("rule 5: cursors come from tickets") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 5);
  schema.connection().run("UPDATE tasks SET status = 'cancelled', run_at = '9999-01-01'");
  const auto rows = schema.connection().run(claim_sql(first, 10));
  CHECK(rows.text(0, 3).find("9999") == std::string_view::npos);
  CHECK(rows.text(0, 3).find(", 5]]") != std::string_view::npos);
}

TEST_CASE("rule 6: a row that a person holds blocks neither claim nor completion of others") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 4);
  Session person(schema);
  person.script("BEGIN");
  person.run("SELECT FROM tasks WHERE id = 2 FOR UPDATE");
  Session claimer(schema);
  claimer.start(claim_sql(first));
  CHECK(claimer.finish() == "55P03");
  const auto rows = schema.connection().run(claim_sql(first, 10, true));
  CHECK(tasks_in(rows) == 3);
  CHECK(schema.number("SELECT count(*) FROM tickets WHERE id = 2") == 1);
  person.script("COMMIT");
  const auto lease = lease_of(rows);
  person.script("BEGIN");
  person.run("SELECT FROM tasks WHERE id = 3 FOR UPDATE");
  const std::string leases = fmt::format("{0},{0},{0}", lease);
  claimer.start(complete_sql(first, "1,3,4", leases));
  CHECK(claimer.finish() == "55P03");
  const auto exceptions = schema.connection().run(complete_sql(first, "1,3,4", leases, true));
  REQUIRE(exceptions.size() == 1);
  CHECK(exceptions.integer(0, 0) == 3);
  CHECK(exceptions.text(0, 1) == "held");
  person.script("COMMIT");
  CHECK(schema.connection().run(complete_sql(first, "3", std::to_string(lease))).size() == 0);
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'completed'") == 3);
}

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

TEST_CASE("rules 17 to 19: an enqueue notifies only while a live worker of its queue wants it, seen after the inserts") {
  Schema schema;
  const auto wakes = [&](const std::string& queue) { return schema.value(fmt::format("SELECT wake('{}')", queue)) == "t"; };
  CHECK_FALSE(wakes("default"));
  enroll(schema, first);
  CHECK_FALSE(wakes("default"));
  schema.connection().run(fmt::format("SELECT want_wakes('{}', true)", first));
  CHECK(wakes("default"));
  CHECK_FALSE(wakes("other"));
  schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 hour'");
  CHECK_FALSE(wakes("default"));
  Session strict(schema);
  strict.script("BEGIN ISOLATION LEVEL REPEATABLE READ");
  CHECK(strict.run("SELECT wake('default')").text(0, 0) == "t");
  strict.script("ROLLBACK");
  strict.script("BEGIN");
  strict.run("SELECT enqueue('k', wake => false)");
  strict.script("PREPARE TRANSACTION '" + schema.name() + "'");
  strict.script("ROLLBACK PREPARED '" + schema.name() + "'");
}

TEST_CASE("rule 20: claim refuses any isolation level but READ COMMITTED") {
  Schema schema;
  enroll(schema, first);
  Session strict(schema);
  strict.script("BEGIN ISOLATION LEVEL REPEATABLE READ");
  strict.start(claim_sql(first));
  CHECK(strict.finish() == "25001");
  strict.script("ROLLBACK");
}

TEST_CASE("rule 21: doctor finds what a raw UPDATE orphaned, and mend mends it") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 4);
  const auto lease = lease_of(schema.connection().run(claim_sql(first, 2)));
  schema.connection().run(complete_sql(first, "1", std::to_string(lease)));
  schema.connection().run("UPDATE tasks SET status = 'pending' WHERE id = 1");
  schema.connection().run("UPDATE tasks SET status = 'cancelled' WHERE id = 3");
  schema.connection().run("INSERT INTO tickets SELECT * FROM tickets WHERE id = 4");
  schema.connection().run("UPDATE tasks SET lease = 999 WHERE id = 2");
  CHECK(schema.number("SELECT count(*) FROM doctor()") == 4);
  CHECK(schema.number("SELECT mend()") == 4);
  consistent(schema);
}

TEST_CASE("both updates of a task's life are HOT") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 5000);
  for (int batch = 0; batch < 10; ++batch) {
    schema.connection().run(claim_sql(first, 500));
    schema.connection().run(
        fmt::format("SELECT count(c.*) FROM (SELECT array_agg(id) AS ids, array_agg(ctid) AS hints, array_agg(lease) AS leases FROM tasks "
                    "WHERE status = 'running') a,"
                    " LATERAL complete('{}', a.ids, a.hints, a.leases) c",
                    first));
  }
  schema.connection().run("SELECT pg_stat_force_next_flush()");
  const auto rows = schema.connection().run(
      "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_all_tables WHERE schemaname = current_schema() AND relname = 'tasks'");
  CHECK(rows.integer(0, 0) == 10'000);
  CHECK(static_cast<double>(rows.integer(0, 1)) / static_cast<double>(rows.integer(0, 0)) >= 0.85);
}
