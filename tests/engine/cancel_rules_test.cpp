// Asking to cancel against settling: whoever looks first, the wish is not forgotten.
#include "engine/worker_sql.hpp"

using namespace millrace::test;

namespace {

const std::string hour = "'1 hour'::interval";

// A task that runs under `first`; returns its lease.
std::int64_t running(Schema& schema) {
  enroll(schema, first);
  enqueue(schema, 1);
  return lease_of(schema.connection().run(claim_sql(first)));
}

std::string fail_sql(std::int64_t lease) {
  return fmt::format("SELECT * FROM fail('{}', '{{1}}', '{{{}}}', '{{broken}}', '{{false}}', ARRAY[{}])", first, lease, hour);
}
std::string release_sql(std::int64_t lease) {
  return fmt::format("SELECT * FROM release('{}', '{{1}}', '{{{}}}', {})", first, lease, hour);
}

// The wish is written, but not yet committed, while the settlement looks for it.
void settle_beside_a_wish(Schema& schema, const std::string& settlement) {
  Session asking(schema);
  asking.script("BEGIN");
  REQUIRE(asking.run("SELECT cancel(1)").text(0, 0) == "running");
  schema.connection().run(settlement);
  asking.script("COMMIT");
}

}  // namespace

TEST_CASE("a wish to cancel that commits after the attempt's end was recorded is granted all the same") {
  for (const bool failed : {true, false}) {
    CAPTURE(failed);
    Schema schema;
    const auto lease = running(schema);
    settle_beside_a_wish(schema, failed ? fail_sql(lease) : release_sql(lease));
    CHECK(status(schema, 1) == (failed ? "retrying" : "scheduled"));
    schema.connection().run("SELECT tidy()");
    CHECK(status(schema, 1) == "cancelled");
    schema.connection().run("SELECT tidy()");
    CHECK(schema.number("SELECT count(*) FROM cancel_requests") == 0);
    schema.connection().run(fmt::format("SELECT drop_leases('{}', '{{{}}}')", first, lease));
    consistent(schema);
  }
}

TEST_CASE("a wish that is left waits while somebody holds the task's row") {
  Schema schema;
  const auto lease = running(schema);
  settle_beside_a_wish(schema, fail_sql(lease));
  Session person(schema);
  person.script("BEGIN; SELECT FROM tasks WHERE id = 1 FOR UPDATE");
  schema.connection().run("SELECT tidy()");
  CHECK(schema.number("SELECT count(*) FROM cancel_requests") == 1);
  person.script("COMMIT");
  schema.connection().run("SELECT tidy()");
  CHECK(status(schema, 1) == "cancelled");
}

TEST_CASE("the next attempt of a task with a wish that is left is stopped") {
  Schema schema;
  const auto lease = running(schema);
  settle_beside_a_wish(schema, fail_sql(lease));
  schema.connection().script("UPDATE tasks SET run_at = now(); UPDATE tickets SET run_at = now()");
  REQUIRE(tasks_in(schema.connection().run(claim_sql(first))) == 1);
  schema.connection().run("SELECT tidy()");
  CHECK(schema.value(fmt::format("SELECT cancelled FROM heartbeat('{}', '{{}}')", first)) == "{1}");
}

TEST_CASE("what retry revives is not cancelled by an older wish") {
  Schema schema;
  const auto lease = running(schema);
  schema.connection().run("SELECT cancel(1)");
  schema.connection().run(fail_sql(lease));
  REQUIRE(status(schema, 1) == "cancelled");
  schema.connection().run("SELECT retry(1)");
  schema.connection().run("SELECT tidy()");
  CHECK(status(schema, 1) == "pending");
}

TEST_CASE("wishes for tasks that somebody holds do not keep the worker that tidies from its heartbeat") {
  Schema schema;
  enqueue(schema, 20);
  schema.connection().run("INSERT INTO cancel_requests (task) SELECT id FROM tasks");
  Session holder(schema), heart(schema);
  holder.script("BEGIN");
  REQUIRE(holder.run("SELECT FROM tickets FOR UPDATE").size() == 20);
  // Two waits of two seconds, not twenty.
  heart.script("SET statement_timeout = '20s'");
  heart.start("SELECT tidy()");
  CHECK(heart.finish().empty());
  holder.script("ROLLBACK");
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'cancelled'") == 0);
  schema.connection().run("SELECT tidy()");
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'cancelled'") == 20);
  CHECK(schema.number("SELECT count(*) FROM cancel_requests") == 0);
  consistent(schema);
}
