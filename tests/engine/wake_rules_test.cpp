// The protocol's rules for waking, and what is around it, in SQL alone. Each case fails without its rule.
#include "engine/worker_sql.hpp"
#include "support/wait.hpp"

using namespace millrace;
using namespace millrace::test;

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

TEST_CASE("rule 19: enqueue and enqueue_many ask as wake() does, and for what is due before the worker looks again") {
  Schema schema;
  Session session(schema);
  // A transaction that has notified cannot be prepared.
  const auto notifies = [&](const std::string& sql, const char* isolation = "READ COMMITTED") {
    session.script(fmt::format("BEGIN ISOLATION LEVEL {}", isolation));
    session.run("SELECT " + sql);
    session.start("PREPARE TRANSACTION '" + schema.name() + "'");
    const std::string refused = session.finish();
    if (refused.empty()) session.script("ROLLBACK PREPARED '" + schema.name() + "'");
    if (!refused.empty()) CHECK(refused == "0A000");
    return !refused.empty();
  };
  for (const char* call : {"enqueue('k'", "enqueue_many('k', '{\"{}\"}'"}) {
    const auto with = [&](const char* options) { return call + std::string(options) + ")"; };
    schema.connection().run("DELETE FROM workers");
    CHECK_FALSE(notifies(with("")));
    CHECK(notifies(with(""), "REPEATABLE READ"));
    enroll(schema, first);
    CHECK_FALSE(notifies(with("")));
    schema.connection().run(fmt::format("SELECT want_wakes('{}', true)", first));
    CHECK(notifies(with("")));
    CHECK_FALSE(notifies(with(", wake => false")));
    CHECK_FALSE(notifies(with(", queue => 'other'")));
    CHECK(notifies(with(", delay => '500 ms'")));
    CHECK_FALSE(notifies(with(", delay => '2 s'")));
    schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 hour'");
    CHECK_FALSE(notifies(with("")));
  }
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
  // A worker that died counts too, and is mended as rescue does it.
  schema.connection().run(claim_sql(first, 1));
  schema.connection().run("DELETE FROM workers");
  CHECK(schema.number("SELECT count(*) FROM doctor()") == 2);
  CHECK(schema.number("SELECT mend()") == 2);
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
