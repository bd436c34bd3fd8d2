// What single tasks cost in a session whose plans were made while the tables were small, and what views read.
#include <vector>

#include "engine/worker_sql.hpp"

using namespace millrace;
using namespace millrace::test;

namespace {

// A session plans a statement for good once it has run it so often.
constexpr int often = 12;

// Rows that this transaction has read, of tables one after the other or through their indexes.
std::int64_t rows_read(Schema& schema) {
  return schema.number(
      "SELECT sum(seq_tup_read) + sum(coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables WHERE schemaname = current_schema()");
}

void grow(Schema& schema) {
  auto& link = schema.connection();
  // The history is not analysed: what sessions have planned stays.
  link.run("INSERT INTO tasks (kind, status) SELECT 'old', 'completed' FROM generate_series(1, 30000)");
  link.run(
      "WITH t AS (INSERT INTO tasks (kind) SELECT 'k' FROM generate_series(1, 10000) RETURNING queue, priority / 25 AS bucket, "
      "kind_hash(kind), run_at, id, ctid) INSERT INTO tickets SELECT * FROM t");
}

}  // namespace

TEST_CASE("a change of one task that was planned while the tables were empty reads no more when they are full") {
  Schema schema;
  auto& link = schema.connection();
  link.script("ALTER TABLE tasks SET (autovacuum_enabled = off); ALTER TABLE tickets SET (autovacuum_enabled = off)");
  const auto once = [&] {
    const auto id = schema.number("SELECT id FROM enqueue_once('k', unique_key => 'x')");
    link.run("SELECT enqueue_once('k', unique_key => 'x', replace => true)");
    link.run(fmt::format("SELECT reprioritise({}, 60)", id));
    link.run(fmt::format("SELECT run_now({})", id));
    link.run(fmt::format("SELECT cancel({})", id));
    link.run(fmt::format("SELECT retry({})", id));
    link.run(fmt::format("SELECT cancel_tasks('{{\"ids\": {0}}}'), retry_tasks('{{\"ids\": {0}, \"status\": \"cancelled\"}}')", id));
    link.run(fmt::format("SELECT reprioritise_tasks('{{\"ids\": {0}}}', 30), delete_tasks('{{\"ids\": {0}}}')", id));
    const auto late = schema.number("SELECT id FROM enqueue_once('k', unique_key => 'y', expires_at => '1999-01-01')");
    const auto next = schema.number("SELECT id FROM enqueue_once('k', unique_key => 'y')");
    CHECK(late != next);
    link.run(fmt::format("SELECT delete_task({})", next));
  };
  once();
  link.script("ANALYZE tasks; ANALYZE tickets; ANALYZE task_keys");
  for (int i = 0; i < often; ++i) once();
  grow(schema);
  link.script("BEGIN");
  const auto before = rows_read(schema);
  once();
  CHECK(rows_read(schema) - before < 1000);
  link.script("ROLLBACK");
}

TEST_CASE("a heartbeat that was planned while the tables were empty reads no more when they are full") {
  Schema schema;
  auto& link = schema.connection();
  link.script("ALTER TABLE tasks SET (autovacuum_enabled = off); ALTER TABLE tickets SET (autovacuum_enabled = off)");
  enroll(schema, first);
  enqueue(schema, 3);
  link.run(claim_sql(first));
  link.run("SELECT cancel(1)");
  link.script("ANALYZE tasks; ANALYZE tickets; ANALYZE leases; ANALYZE workers");
  const auto beat = [&] {
    link.run(fmt::format("SELECT * FROM heartbeat('{}', '{{1}}')", first));
    link.run("SELECT * FROM rescue()");
    link.run("SELECT tidy()");
  };
  for (int i = 0; i < often; ++i) beat();
  grow(schema);
  link.script("BEGIN");
  const auto before = rows_read(schema);
  beat();
  CHECK(rows_read(schema) - before < 1000);
  link.script("ROLLBACK");
}

TEST_CASE("who looks at what runs, or rescues it, reads no history, whatever the statistics say of leases") {
  Schema schema;
  auto& link = schema.connection();
  link.script("ALTER TABLE leases SET (autovacuum_enabled = off)");
  enroll(schema, first);
  enqueue(schema, 20);
  REQUIRE(tasks_in(link.run(claim_sql(first, 20))) == 20);
  grow(schema);
  link.script("DELETE FROM tickets WHERE queue = 'default'; ANALYZE tasks");
  link.run("UPDATE pg_class SET reltuples = 100000, relpages = 1 WHERE oid = 'leases'::regclass");
  const auto reads = [&](const std::string& sql) {
    link.script("BEGIN");
    const auto before = rows_read(schema);
    link.run(sql);
    const auto read = rows_read(schema) - before;
    link.script("ROLLBACK");
    return read;
  };
  CHECK(reads("SELECT * FROM running_tasks") < 200);
  CHECK(reads("SELECT queue, count(*) FROM running_tasks GROUP BY queue") < 200);
  CHECK(reads("SELECT * FROM stats()") < 200);
  CHECK(reads("SELECT * FROM live_workers") < 200);
  link.run("UPDATE workers SET seen_at = now() - interval '1 hour'");
  CHECK(reads("SELECT * FROM rescue()") < 500);
}
