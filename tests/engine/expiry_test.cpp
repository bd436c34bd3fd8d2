// Tasks that have not started in time: at their claim, and by the sweep. docs/keys.md tells what expiry means.
#include "engine/worker_sql.hpp"

using namespace millrace;
using namespace millrace::test;

TEST_CASE("a task that has not started by expires_at never starts: at its claim, and by the sweep") {
  Schema schema;
  enroll(schema, first);
  auto& link = schema.connection();
  link.run("SELECT enqueue('k', expires_in => '1 hour'), enqueue('k', expires_in => '3 hours', delay => '1 hour'), enqueue('k')");
  link.run("SELECT enqueue('k', expires_in => '1 hour', delay => '1 day')");
  set_clock(schema, "2 hours");
  link.run("SELECT register_worker('00000000-0000-4000-8000-00000000000a', 'w', 'h', 1, '0', '{default}', '30 seconds')");
  for (const bool careful : {false, true}) {
    link.run("BEGIN");
    CHECK(tasks_in(link.run(claim_sql(first, 10, careful))) == 2);
    CHECK(schema.value("SELECT string_agg(id || ' ' || status || coalesce(' ' || reason, ''), ', ' ORDER BY id) FROM tasks") ==
          "1 cancelled expired, 2 running, 3 running, 4 scheduled");
    CHECK(schema.value("SELECT task_ids FROM leases") == "{2,3}");
    link.run("ROLLBACK");
  }
  CHECK(schema.number("SELECT expired FROM expire_tasks()") == 2);
  CHECK(schema.value("SELECT string_agg(id || ' ' || status || coalesce(' ' || reason, ''), ', ' ORDER BY id) FROM tasks") ==
        "1 cancelled expired, 2 scheduled, 3 pending, 4 cancelled expired");
  CHECK(schema.number("SELECT count(*) FROM expiries") == 1);
  consistent(schema);
  // Once begun it may be retried later; retry by a person takes the limit away.
  const auto rows = link.run(claim_sql(first));
  REQUIRE(tasks_in(rows) == 2);
  link.run(fmt::format("SELECT * FROM fail('{}', '{{2}}', '{{{}}}', '{{no}}', delays => '{{2 hours}}')", first, lease_of(rows)));
  set_clock(schema, "5 hours");
  CHECK(schema.number("SELECT expired FROM expire_tasks()") == 0);
  CHECK(status(schema, 2) == "retrying");
  link.run("SELECT register_worker('00000000-0000-4000-8000-00000000000a', 'w', 'h', 1, '0', '{default}', '30 seconds'), retry(1)");
  CHECK(tasks_in(link.run(claim_sql(first))) == 2);
  CHECK(status(schema, 1) == "running");
  CHECK(schema.number("SELECT count(*) FROM expiries") == 0);
}

TEST_CASE("a task that began and is to be retried does not expire, also if that attempt does not count") {
  Schema schema;
  enroll(schema, first);
  auto& link = schema.connection();
  link.run(
      "SELECT enqueue_once('k', unique_key => 'x', max_attempts => 1, expires_in => '1 hour'), enqueue('k', max_attempts => 1, expires_in "
      "=> '1 hour')");
  REQUIRE(tasks_in(link.run(claim_sql(first))) == 2);
  link.run("UPDATE workers SET seen_at = now() - interval '1 hour'");
  REQUIRE(schema.number("SELECT rescued FROM rescue()") == 2);
  set_clock(schema, "2 hours");
  CHECK(schema.value("SELECT string_agg(status || ' ' || attempt, ', ') FROM tasks") == "retrying 0, retrying 0");
  CHECK(schema.number("SELECT expired FROM expire_tasks()") == 0);
  CHECK(schema.number("SELECT count(*) FROM expiries") == 0);
  CHECK(schema.value("SELECT created FROM enqueue_once('k', unique_key => 'x')") == "f");
  enroll(schema, second);
  for (const bool careful : {false, true}) CHECK(tasks_in(link.run(claim_sql(second, 1, careful, true))) == 1);
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'running'") == 2);
  consistent(schema);
}

TEST_CASE("the sweep goes on slice by slice until nothing is left, of those that started long ago too") {
  Schema schema;
  auto& link = schema.connection();
  link.run("SELECT enqueue_many('k', array_fill('{}'::jsonb, '{1000}'), expires_in => '1 hour')");
  link.run("UPDATE tasks SET status = 'completed' WHERE id % 4 > 0");
  link.run("DELETE FROM tickets k USING tasks t WHERE t.id = k.id AND t.status = 'completed'");
  CHECK(schema.value("SELECT expire_tasks(100)") == "(0,f)");
  CHECK(schema.number("SELECT count(*) FROM expiries") == 1000);
  set_clock(schema, "2 hours");
  int slices = 0;
  std::int64_t expired = 0;
  for (bool more = true; more; ++slices) {
    const auto rows = link.run("SELECT expired, more FROM expire_tasks(100)");
    expired += rows.integer(0, 0);
    more = rows.boolean(0, 1);
  }
  CHECK(slices == 11);
  CHECK(expired == 250);
  CHECK(schema.number("SELECT count(*) FROM expiries") == 0);
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'cancelled' AND reason = 'expired'") == 250);
  consistent(schema);
}

TEST_CASE("what the sweep cannot take does not keep it from what is behind, and is looked at again after a minute") {
  Schema schema;
  auto& link = schema.connection();
  link.run("SELECT enqueue('k', expires_at => '1999-01-01') FROM generate_series(1, 5)");
  Session person(schema);
  person.script("BEGIN");
  person.run("SELECT FROM tasks WHERE id <= 3 FOR UPDATE");
  int slices = 0;
  std::int64_t expired = 0;
  for (bool more = true; more; ++slices) {
    const auto rows = link.run("SELECT expired, more FROM expire_tasks(2)");
    expired += rows.integer(0, 0);
    more = rows.boolean(0, 1);
  }
  CHECK(slices == 3);
  CHECK(expired == 2);
  person.script("COMMIT");
  set_clock(schema, "1 minute");
  for (bool more = true; more;) {
    const auto rows = link.run("SELECT expired, more FROM expire_tasks(2)");
    expired += rows.integer(0, 0);
    more = rows.boolean(0, 1);
  }
  CHECK(expired == 5);
  CHECK(schema.number("SELECT count(*) FROM expiries") == 0);
  consistent(schema);
}

TEST_CASE("the sweep finds its tickets by their index, whatever else waits for the same moment") {
  Schema schema;
  auto& link = schema.connection();
  link.run("SELECT enqueue_many('k', array_fill('{}'::jsonb, '{20000}'), expires_at => '1999-01-01')");
  const auto so_far = [&] { return schema.number("SELECT pg_stat_get_xact_blocks_fetched('tickets_claim'::regclass)"); };
  const auto pages = schema.number("SELECT pg_relation_size('tickets_claim') / current_setting('block_size')::integer");
  link.script("BEGIN");
  const auto before = so_far();
  CHECK(schema.number("SELECT expired FROM expire_tasks(100)") == 100);
  CHECK(so_far() - before < 100 * 12);
  CHECK(100 * pages > 2 * 100 * 12);
  link.script("COMMIT");
  consistent(schema);
}

TEST_CASE("what a person holds is left by the sweep, which waits for nobody") {
  Schema schema;
  schema.connection().run("SELECT enqueue('k', expires_at => now() - interval '1 s') FROM generate_series(1, 3)");
  Session person(schema);
  person.script("BEGIN");
  person.run("SELECT FROM tasks WHERE id = 1 FOR UPDATE");
  person.run("SELECT FROM tickets WHERE id = 2 FOR UPDATE");
  CHECK(schema.number("SELECT expired FROM expire_tasks()") == 1);
  person.script("COMMIT");
  CHECK(schema.number("SELECT expired FROM expire_tasks()") == 2);
  consistent(schema);
}
