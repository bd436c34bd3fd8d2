// The protocol's rules for claiming, in SQL alone. Each case fails without its rule.
#include "engine/worker_sql.hpp"
#include "support/wait.hpp"

using namespace millrace;
using namespace millrace::test;

TEST_CASE("rule 1: a task that is edited while it is claimed is claimed all the same") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 3);
  Session person(schema);
  Session claimer(schema);
  person.script("BEGIN");
  person.run("UPDATE tasks SET args = '{\"edited\": true}' WHERE id = 2 RETURNING id");
  claimer.script(
      "SET lock_timeout = '10s'; ALTER FUNCTION claim(uuid, text, integer, timestamptz[], bigint[], boolean, boolean, "
      "integer[]) SET lock_timeout = '10s'");
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
      "WITH t AS (INSERT INTO tasks (kind) SELECT 'k' FROM generate_series(1, 1000000) RETURNING queue, priority / 25 AS bucket, "
      "kind_hash(kind), run_at, id, ctid)"
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

TEST_CASE("rule 4: plans made while the tables were empty are as good when they are full") {
  Schema schema;
  enroll(schema, first);
  const auto reads = [&] {
    schema.connection().run("SELECT pg_stat_force_next_flush()");
    schema.connection().run("SELECT pg_stat_clear_snapshot()");
    return schema.number(
        "SELECT sum(idx_tup_read + seq) FROM (SELECT idx_tup_read, 0 AS seq FROM pg_stat_all_indexes WHERE schemaname = current_schema()"
        " UNION ALL SELECT 0, seq_tup_read FROM pg_stat_all_tables WHERE schemaname = current_schema()) r");
  };
  // Each way of settling once, by hint and by id: eight claims, so that every statement's plan is cached.
  const auto once = [&] {
    for (const char* settle :
         {"complete('{0}', '{{{1}}}', '{{\"{2}\"}}', '{{{3}}}')", "complete('{0}', '{{{1}}}', '{{\"(0,1)\"}}', '{{{3}}}')",
          "complete('{0}', '{{{1}}}', '{{\"{2}\"}}', '{{{3}}}', careful => true)", "fail('{0}', '{{{1}}}', '{{{3}}}', '{{why}}')",
          "fail('{0}', '{{{1}}}', '{{{3}}}', '{{why}}', careful => true)", "release('{0}', '{{{1}}}', '{{{3}}}', '1 hour')",
          "release('{0}', '{{{1}}}', '{{{3}}}', '1 hour', careful => true)"}) {
      const auto rows = schema.connection().run(claim_sql(first, 1));
      REQUIRE(tasks_in(rows) == 1);
      const auto exceptions = schema.connection().run(
          "SELECT * FROM " + fmt::format(fmt::runtime(settle), first, rows.integer(0, 0), rows.text(0, 1), lease_of(rows)));
      CHECK(schema.number(fmt::format("SELECT count(*) FROM tasks WHERE id = {} AND status = 'running'", rows.integer(0, 0))) == 0);
    }
  };
  enqueue(schema, 30);
  schema.connection().script("ANALYZE tasks; ANALYZE tickets; ANALYZE leases");
  once();
  once();
  schema.connection().run(
      "WITH t AS (INSERT INTO tasks (kind) SELECT 'k' FROM generate_series(1, 50000) RETURNING queue, priority / 25 AS bucket, "
      "kind_hash(kind), run_at, id, ctid)"
      " INSERT INTO tickets SELECT * FROM t");
  const auto before = reads();
  once();
  CHECK(reads() - before < 1000);
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

TEST_CASE("rule 6: a suspect that a person holds keeps no other suspect from its claim") {
  Schema schema;
  enroll(schema, first);
  enqueue(schema, 2);
  schema.connection().run(claim_sql(first));
  schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 hour'");
  REQUIRE(schema.number("SELECT rescued FROM rescue()") == 2);
  enroll(schema, first);
  Session person(schema);
  person.script("BEGIN");
  person.run("SELECT FROM tasks WHERE id = 1 FOR UPDATE");
  Session claimer(schema);
  claimer.start(claim_sql(first, 1, false, true));
  CHECK(claimer.finish() == "55P03");
  const auto rows = schema.connection().run(claim_sql(first, 1, true, true));
  REQUIRE(tasks_in(rows) == 1);
  CHECK(rows.integer(0, 0) == 2);
  CHECK(schema.number("SELECT count(*) FROM tickets WHERE id = 1 AND bucket = -1") == 1);
  CHECK(tasks_in(schema.connection().run(claim_sql(first, 1, true, true))) == 0);
  person.script("COMMIT");
  CHECK(tasks_in(schema.connection().run(claim_sql(first, 1, true, true))) == 1);
  consistent(schema);
}
