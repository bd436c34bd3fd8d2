// Keys, expiry and what is said about a task, in SQL. docs/keys.md tells what they mean; races are in key_races_test.cpp.
#include "engine/worker_sql.hpp"

#include <millrace/error.hpp>

#include <string>
#include <utility>

using namespace millrace;
using namespace millrace::test;

namespace {

// The answer as "id status created replaced".
std::string once(Schema& schema, const std::string& call) {
  return schema.value(fmt::format("SELECT concat_ws(' ', id, status, created, replaced) FROM enqueue_once({})", call));
}
std::int64_t id_of(Schema& schema, const std::string& call) { return schema.number(fmt::format("SELECT id FROM enqueue_once({})", call)); }
bool created(Schema& schema, const std::string& call) {
  return schema.value(fmt::format("SELECT created FROM enqueue_once({})", call)) == "t";
}

void end_all(Schema& schema) {
  auto& link = schema.connection();
  const auto rows = link.run(claim_sql(first));
  for (int row = 0; row + 1 < rows.size(); ++row) {
    link.run(complete_sql(first, std::to_string(rows.integer(row, 0)), std::to_string(lease_of(rows))));
  }
}

}  // namespace

TEST_CASE("what is out of range, or cannot be given together, is refused by name") {
  Schema schema;
  const std::pair<const char*, const char*> cases[] = {
      {"enqueue_once('')", "kind has 0 bytes"},
      {"enqueue_once('k', '[]')", "args must be a JSON object"},
      {"enqueue_once('k', key => '')", "key has 0 bytes; allowed are 1 to 256"},
      {"enqueue_once('k', key => repeat('x', 257))", "key has 257 bytes"},
      {"enqueue_once('k', key_for => '1 hour')", "key_for needs a key"},
      {"enqueue_once('k', key => 'a', key_for => '0')", "key_for is 00:00:00"},
      {"enqueue_once('k', key => 'a', key_for => '3651 days')", "key_for is 3651 days"},
      {"enqueue_once('k', key => 'a', key_for => '-1 s')", "key_for is -00:00:01"},
      {"enqueue_once('k', key => 'a', key_for => '-5000000 years 1800000000 days 1 s')", "key_for is -5000000 years"},
      {"enqueue_once('k', unique_key => 'a', unique_for => '-5000000 years 1800000000 days 1 s')", "unique_for is -5000000 years"},
      {"enqueue_once('k', debounce => '-5000000 years 1800000000 days 1 s')", "debounce is -5000000 years"},
      {"enqueue_once('k', debounce => '1 s', debounce_max => '-5000000 years 1800000000 days 2 s')", "debounce_max is -5000000 years"},
      {"enqueue_once('k', throttle => '-5000000 years 1800000000 days 1 s')", "throttle is -5000000 years"},
      {"enqueue_once('k', unique_key => '')", "unique_key has 0 bytes"},
      {"enqueue_once('k', unique_key => 'a', unique_by => '{a}')", "unique_by cannot be given together with unique_key"},
      {"enqueue_once('k', unique_by => ARRAY[NULL])", "unique_by holds a field that is null"},
      {"enqueue_once('k', unique_by => ARRAY[''])", "unique_by holds a field"},
      {"enqueue_once('k', unique_by => '{{a},{b}}')", "unique_by has 2 elements"},
      {"enqueue_once('k', unique_by => array_fill('a'::text, '{17}'))", "unique_by has 17 elements"},
      {"enqueue_once('k', unique_for => '1 hour')", "unique_for needs unique_key or unique_by"},
      {"enqueue_once('k', throttle => '0')", "throttle is 00:00:00"},
      {"enqueue_once('k', debounce => '31 days')", "debounce is 31 days"},
      {"enqueue_once('k', debounce => '1 s', throttle => '1 s')", "throttle cannot be given together"},
      {"enqueue_once('k', debounce => '1 s', unique_for => '1 s')", "debounce cannot be given together"},
      {"enqueue_once('k', debounce => '1 s', delay => '1 s')", "debounce cannot be given together with run_at or delay"},
      {"enqueue_once('k', debounce => '2 s', debounce_max => '1 s')", "debounce_max needs debounce, and cannot be shorter"},
      {"enqueue_once('k', debounce_max => '1 s')", "debounce_max needs debounce"},
      {"enqueue_once('k', replace => true)", "replace needs unique_key or unique_by"},
      {"enqueue_once('k', unique_key => 'a', throttle => '1 s', replace => true)", "replace needs"},
      {"enqueue_once('k', replace => NULL)", "replace needs"},
      {"enqueue('k', expires_in => '0')", "expires_in is 00:00:00"},
      {"enqueue('k', expires_in => '1 s', expires_at => now())", "expires_in cannot be given together with expires_at"},
      {"enqueue('k', expires_at => 'infinity')", "expires_at is infinity"},
      {"enqueue('k', expires_at => '0044-03-15 BC')", "expires_at is 0044-03-15"},
      {"enqueue('k', correlation => '')", "correlation has 0 bytes; allowed are 1 to 128"},
      {"enqueue('k', tenant => repeat('x', 129))", "tenant has 129 bytes"},
      {"enqueue('k', tags => '{}')", "tags has 0 elements"},
      {"enqueue('k', tags => array_fill('a'::text, '{17}'))", "tags has 17 elements"},
      {"enqueue('k', tags => '{{a}}')", "tags has 1 elements in 2 dimensions"},
      {"enqueue('k', tags => ARRAY[NULL])", "tags holds one that is null"},
      {"enqueue('k', tags => ARRAY[repeat('x', 65)])", "tags holds one"},
      {"enqueue('k', metadata => '[]')", "metadata must be a JSON object of texts, not array"},
      {"enqueue('k', metadata => '{\"a\": 1}')", "metadata holds 'a'"},
      {"enqueue('k', metadata => '{\"\": \"a\"}')", "metadata holds ''"},
      {"enqueue('k', metadata => jsonb_build_object('a', repeat('x', 9000)))", "metadata has 9009 bytes; allowed are 8192"},
      {"enqueue('k', traceparent => 'x')", "traceparent is 'x', which is no W3C trace context"},
      {"enqueue('k', traceparent => '00-00000000000000000000000000000000-b7ad6b7169203331-01')", "traceparent is"},
      {"enqueue('k', traceparent => 'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')", "traceparent is"},
      {"enqueue('k', traceparent => '00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')", "traceparent is"},
      {"enqueue_many('k', '{\"{}\"}', tags => ARRAY[''])", "tags holds one"},
  };
  for (const auto& refused : cases) {  // no structured binding: clang 14 cannot capture one
    const auto& call = refused.first;
    CAPTURE(call);
    try {
      schema.connection().run(fmt::format("SELECT {}", call));
      FAIL("it was accepted");
    } catch (const DatabaseError& e) {
      CHECK(e.sqlstate() == "22023");
      CHECK_MESSAGE(std::string(e.what()).starts_with(refused.second), e.what());
    }
  }
  CHECK(schema.number("SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM task_keys) + (SELECT count(*) FROM expiries)") == 0);
}

TEST_CASE("what is said about a task is in its row, for one and for many; plain tasks have no index entry") {
  Schema schema;
  const std::string about =
      "expires_in => '1 hour', correlation => 'c', tenant => 't', tags => '{a,b}', metadata => '{\"x\": \"y\"}',"
      " traceparent => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'";
  schema.connection().run("SELECT enqueue('k', " + about + ")");
  schema.connection().run("SELECT enqueue_many('k', ARRAY['{}', '{}']::jsonb[], " + about + ")");
  schema.connection().run("SELECT enqueue_once('k', key => 'a', " + about + ")");
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE expires_at = created_at + interval '1 hour' AND correlation = 'c' AND tenant = 't'"
                      " AND tags = '{a,b}' AND metadata = '{\"x\": \"y\"}' AND traceparent LIKE '00-0af%' AND status = 'pending'") == 4);
  CHECK(schema.number("SELECT count(*) FROM expiries") == 4);
  consistent(schema);
}

TEST_CASE("a priority has a name") {
  Schema schema;
  schema.connection().run("SELECT enqueue('k', priority => priority(n)) FROM unnest('{critical,high,normal,low}'::text[]) n");
  CHECK(schema.value("SELECT string_agg(priority::text, ' ' ORDER BY id) FROM tasks") == "100 75 50 25");
  for (const char* name : {"'High'", "''", "'75'", "NULL"}) {
    CAPTURE(name);
    try {
      schema.connection().run(fmt::format("SELECT priority({})", name));
      FAIL("it was accepted");
    } catch (const DatabaseError& e) {
      CHECK(e.sqlstate() == "22023");
      CHECK(std::string(e.what()).find("allowed are critical, high, normal and low") != std::string::npos);
    }
  }
}

TEST_CASE("an idempotency key leads to one task per kind, also after its end, until its time is over") {
  Schema schema;
  enroll(schema, first);
  const auto task = id_of(schema, "'k', '{\"n\": 1}', key => 'a'");
  CHECK(once(schema, "'k', '{\"n\": 2}', key => 'a'") == fmt::format("{} pending f f", task));
  CHECK(created(schema, "'other', key => 'a'"));
  CHECK(created(schema, "'k', key => 'b'"));
  end_all(schema);
  CHECK(once(schema, "'k', key => 'a'") == fmt::format("{} completed f f", task));
  // Its row may be gone before its key is.
  schema.connection().run(fmt::format("DELETE FROM tasks WHERE id = {}", task));
  CHECK(schema.value("SELECT id || ' ' || (status IS NULL) || ' ' || created FROM enqueue_once('k', key => 'a')") ==
        fmt::format("{} true false", task));
  set_clock(schema, "24 hours 1 second");
  CHECK(created(schema, "'k', key => 'a'"));
  CHECK_FALSE(created(schema, "'k', key => 'a'"));
}

TEST_CASE("unique by text, by fields and by all args, while live") {
  Schema schema;
  enroll(schema, first);
  CHECK(created(schema, "'k', '{\"a\": 1, \"b\": 1}', unique_by => '{a}'"));
  CHECK_FALSE(created(schema, "'k', '{\"b\": 2, \"a\": 1}', unique_by => '{a}'"));
  CHECK(created(schema, "'k', '{\"a\": 2}', unique_by => '{a}'"));
  CHECK(created(schema, "'k', '{\"a\": null}', unique_by => '{a}'"));
  CHECK(created(schema, "'k', '{\"b\": null}', unique_by => '{a}'"));
  CHECK(created(schema, "'other', '{\"a\": 1}', unique_by => '{a}'"));
  CHECK(created(schema, "'k', '{\"a\": 1, \"b\": 2}', unique_by => '{b,a}'"));
  CHECK_FALSE(created(schema, "'k', '{\"b\": 2, \"a\": 1}', unique_by => '{a,b,a}'"));
  CHECK(created(schema, "'k', '{\"a\": 1, \"b\": [2]}', unique_by => '{}'"));
  CHECK_FALSE(created(schema, "'k', '{\"b\":[2],   \"a\": 1}', unique_by => '{}'"));
  CHECK(created(schema, "'k', unique_key => 'x'"));
  CHECK_FALSE(created(schema, "'k', '{\"a\": 9}', unique_key => 'x'"));
  // Waiting, running, retrying: live. Ended in any way: not.
  const auto rows = schema.connection().run(claim_sql(first, 100));
  CHECK_FALSE(created(schema, "'k', unique_key => 'x'"));
  for (int row = 0; row + 1 < rows.size(); ++row) {
    schema.connection().run(
        fmt::format("SELECT * FROM fail('{}', '{{{}}}', '{{{}}}', '{{no}}')", first, rows.integer(row, 0), lease_of(rows)));
  }
  CHECK_FALSE(created(schema, "'k', unique_key => 'x'"));
  schema.connection().run("SELECT cancel(id) FROM tasks WHERE status = 'retrying'");
  CHECK(created(schema, "'k', unique_key => 'x'"));
  end_all(schema);
  CHECK(created(schema, "'k', unique_key => 'x'"));
  schema.connection().run("UPDATE tasks SET status = 'cancelled' WHERE status = 'pending'");  // by hand, without any function
  CHECK(created(schema, "'k', unique_key => 'x'"));
  schema.connection().run("DELETE FROM tasks WHERE status = 'pending'");
  CHECK(created(schema, "'k', unique_key => 'x'"));
}

TEST_CASE("unique_for lasts beyond the end, and the end beyond unique_for; throttle only its window") {
  Schema schema;
  enroll(schema, first);
  CHECK(created(schema, "'k', unique_key => 'x', unique_for => '1 hour'"));
  CHECK(created(schema, "'k', '{\"n\": 1}', unique_key => 'x', throttle => '1 hour'"));
  CHECK_FALSE(created(schema, "'k', '{\"n\": 2}', unique_key => 'x', throttle => '1 hour'"));
  CHECK(created(schema, "'k', throttle => '1 hour'"));
  CHECK_FALSE(created(schema, "'k', '{\"any\": 1}', throttle => '1 hour'"));
  set_clock(schema, "61 minutes");
  CHECK_FALSE(created(schema, "'k', unique_key => 'x', unique_for => '1 hour'"));
  CHECK(created(schema, "'k', unique_key => 'x', throttle => '1 hour'"));
  schema.connection().run("SELECT register_worker('00000000-0000-4000-8000-00000000000a', 'w', 'h', 1, '0', '{default}', '30 seconds')");
  end_all(schema);
  CHECK(created(schema, "'k', unique_key => 'x', unique_for => '1 hour'"));
  end_all(schema);
  CHECK_FALSE(created(schema, "'k', unique_key => 'x', unique_for => '1 hour'"));
}

TEST_CASE("replace gives a task that has not started new args and options, and no other") {
  Schema schema;
  enroll(schema, first);
  const auto task = id_of(schema, "'k', '{\"n\": 1}', unique_key => 'x', delay => '1 hour'");
  CHECK(once(schema,
             "'k', '{\"n\": 2}', unique_key => 'x', replace => true, queue => 'q', priority => 80, tags => '{t}', run_at => now() + "
             "interval '2 hours'") == fmt::format("{} scheduled f t", task));
  CHECK(schema.value("SELECT args::text || ' ' || queue || ' ' || priority || ' ' || tags::text || ' ' || (run_at > now() + interval '119 "
                     "minutes') FROM tasks") == "{\"n\": 2} q 80 {t} true");
  CHECK(schema.value("SELECT queue || ' ' || bucket FROM tickets") == "q 3");
  consistent(schema);
  CHECK(once(schema, "'k', '{\"n\": 3}', unique_key => 'x', replace => true") == fmt::format("{} pending f t", task));
  schema.connection().run(claim_sql(first));
  CHECK(once(schema, "'k', '{\"n\": 4}', unique_key => 'x', replace => true") == fmt::format("{} running f f", task));
  CHECK(schema.value("SELECT args FROM tasks") == "{\"n\": 3}");
  CHECK(schema.number("SELECT count(*) FROM tasks") == 1);
}

TEST_CASE("debounce: the newest args, the run moves back, bounded; a started one is left alone") {
  Schema schema;
  enroll(schema, first);
  const auto task = id_of(schema, "'k', '{\"n\": 1}', debounce => '10 minutes', debounce_max => '25 minutes'");
  CHECK(schema.value("SELECT status || ' ' || (run_at - created_at) FROM tasks") == "scheduled 00:10:00");
  const char* again = "'k', '{\"n\": 2}', debounce => '10 minutes', debounce_max => '25 minutes'";
  set_clock(schema, "9 minutes");
  CHECK(once(schema, again) == fmt::format("{} scheduled f t", task));
  CHECK(schema.value("SELECT args::text || ' ' || date_trunc('minute', run_at - created_at) FROM tasks") == "{\"n\": 2} 00:19:00");
  set_clock(schema, "18 minutes");
  CHECK(once(schema, again) == fmt::format("{} scheduled f t", task));
  CHECK(schema.value("SELECT run_at - created_at FROM tasks") == "00:25:00");
  // Due, and nobody took it yet: still the newest args, and not later.
  set_clock(schema, "30 minutes");
  CHECK(once(schema, "'k', '{\"n\": 3}', debounce => '10 minutes', debounce_max => '25 minutes'") == fmt::format("{} pending f t", task));
  CHECK(schema.value("SELECT args::text || ' ' || (run_at - created_at) FROM tasks") == "{\"n\": 3} 00:25:00");
  consistent(schema);
  schema.connection().run("SELECT register_worker('00000000-0000-4000-8000-00000000000a', 'w', 'h', 1, '0', '{default}', '30 seconds')");
  CHECK(tasks_in(schema.connection().run(claim_sql(first))) == 1);
  CHECK(created(schema, again));
  CHECK_FALSE(created(schema, again));
  CHECK(schema.value("SELECT string_agg(status::text, ' ' ORDER BY id) FROM tasks") == "running scheduled");
}

TEST_CASE("an idempotency key and a unique key together: asked in this order, and both lead to the answer") {
  Schema schema;
  const auto task = id_of(schema, "'k', unique_key => 'x'");
  CHECK(id_of(schema, "'k', unique_key => 'x', key => 'a'") == task);
  schema.connection().run(fmt::format("SELECT cancel({})", task));
  CHECK(id_of(schema, "'k', unique_key => 'x', key => 'a'") == task);
  CHECK(id_of(schema, "'k', unique_key => 'x', key => 'b'") != task);
}

TEST_CASE("retry takes the unique key back, unless another live task has it") {
  Schema schema;
  const auto old = id_of(schema, "'k', unique_key => 'x'");
  schema.connection().run(fmt::format("SELECT cancel({})", old));
  schema.connection().run(fmt::format("SELECT retry({})", old));
  CHECK(id_of(schema, "'k', unique_key => 'x'") == old);
  schema.connection().run(fmt::format("SELECT cancel({})", old));
  schema.connection().run("SELECT tidy_keys()");
  CHECK(schema.number("SELECT count(*) FROM task_keys") == 0);
  schema.connection().run(fmt::format("SELECT retry({})", old));
  CHECK(id_of(schema, "'k', unique_key => 'x'") == old);
  schema.connection().run(fmt::format("SELECT cancel({})", old));
  const auto young = id_of(schema, "'k', unique_key => 'x'");
  CHECK(young != old);
  try {
    schema.connection().run(fmt::format("SELECT retry({})", old));
    FAIL("two are live");
  } catch (const DatabaseError& e) {
    CHECK(e.sqlstate() == "MR003");
    CHECK(std::string(e.what()).find(fmt::format("task {} has its unique key and is live", young)) != std::string::npos);
  }
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'pending'") == 1);
}

TEST_CASE("a key that holds for a time leads to its task also when that was deleted, with replace too") {
  Schema schema;
  const std::string call = "'k', unique_key => 'x', unique_for => '1 hour', replace => true";
  CHECK(once(schema, call) == "1 pending t f");
  schema.connection().run("SELECT delete_task(1)");
  CHECK(once(schema, call) == "1 f f");
  set_clock(schema, "2 hours");
  CHECK(created(schema, call));
  consistent(schema);
}

TEST_CASE("a unique key is not held by a task that can no longer start") {
  Schema schema;
  const auto old = id_of(schema, "'k', unique_key => 'x', expires_at => now() - interval '1 s'");
  const auto young = id_of(schema, "'k', unique_key => 'x'");
  CHECK(young != old);
  CHECK(schema.value(fmt::format("SELECT status || ' ' || reason FROM tasks WHERE id = {}", old)) == "cancelled expired");
  consistent(schema);
}

TEST_CASE("keys that no longer hold are tidied, page by page, and no other") {
  Schema schema;
  auto& link = schema.connection();
  link.run(
      "SELECT enqueue_once('k', key => 'k' || n), enqueue_once('k', unique_key => 'u' || n), enqueue_once('k', unique_key => 'd' || n, "
      "debounce => '1 h'),"
      " enqueue_once('k', unique_key => 't' || n, throttle => '1 h') FROM generate_series(1, 1000) n");
  const auto sweep = [&] {
    std::int64_t page = 0;
    int calls = 0;
    do {
      page = schema.number(fmt::format("SELECT tidy_keys({}, 8)", page));
      ++calls;
    } while (page != 0);
    return calls;
  };
  CHECK(sweep() > 3);
  CHECK(schema.number("SELECT count(*) FROM task_keys") == 4000);
  link.run("UPDATE tasks SET status = 'cancelled' WHERE id % 8 < 4");
  sweep();
  CHECK(schema.number("SELECT count(*) FROM task_keys WHERE scope IN ('key', 'throttle')") == 2000);
  CHECK(schema.number("SELECT count(*) FROM task_keys k WHERE scope IN ('unique', 'debounce')") == 1000);
  CHECK(schema.number("SELECT count(*) FROM task_keys k JOIN tasks t ON t.id = k.task WHERE scope IN ('unique', 'debounce') AND t.status = "
                      "'cancelled'") == 0);
  set_clock(schema, "2 days");
  sweep();
  CHECK(schema.number("SELECT count(*) FROM task_keys WHERE scope IN ('key', 'throttle')") == 0);
}

TEST_CASE("filters by correlation, tenant and tags go by their partial indexes") {
  Schema schema;
  auto& link = schema.connection();
  link.run("SELECT enqueue_many('k', array_fill('{}'::jsonb, '{20000}'))");
  link.run(
      "SELECT enqueue('k', tenant => 't' || n % 7, correlation => 'c' || n, tags => ARRAY['g' || n % 5]) FROM generate_series(1, 200) n");
  link.run("ANALYZE tasks");
  for (const char* where : {"tenant = 't3'", "correlation = 'c7'", "tags @> '{g2}'"}) {
    CAPTURE(where);
    std::string plan;
    const auto rows = link.run(fmt::format("EXPLAIN SELECT id FROM tasks WHERE {} ORDER BY id DESC LIMIT 50", where));
    for (int row = 0; row < rows.size(); ++row) plan += std::string(rows.text(row, 0)) + "\n";
    CHECK_MESSAGE((plan.find("tasks_tenant") != std::string::npos || plan.find("tasks_correlation") != std::string::npos ||
                   plan.find("tasks_tags") != std::string::npos),
                  plan);
  }
  CHECK(schema.number("SELECT pg_relation_size('tasks_tenant') + pg_relation_size('tasks_correlation')") <= 6 * 8192);
}

TEST_CASE("what is said about a task is found by its indexes, and the updates of such a task stay HOT") {
  Schema schema;
  auto& link = schema.connection();
  link.run(
      "SELECT enqueue('k', '{}', tags => ARRAY['t' || n], tenant => 'u' || n, correlation => 'c' || n) FROM generate_series(1, 2000) n");
  link.run("SELECT enqueue_many('k', array_fill('{}'::jsonb, ARRAY[20]), tags => ARRAY['many'])");
  link.run("SELECT enqueue_once('k', '{}', key => 'key' || n, tags => ARRAY['once']) FROM generate_series(1, 20) n");
  link.run("ANALYZE tasks");
  const std::pair<const char*, const char*> roads[] = {
      {"tags @> ARRAY['t7']", "tasks_tags"}, {"tenant = 'u7'", "tasks_tenant"}, {"correlation = 'c7'", "tasks_correlation"}};
  for (const auto& road : roads) {
    std::string plan;
    const auto rows = link.run(std::string("EXPLAIN SELECT * FROM tasks WHERE ") + road.first + " ORDER BY id DESC LIMIT 50");
    for (int row = 0; row < rows.size(); ++row) plan += std::string(rows.text(row, 0)) + "\n";
    INFO(plan);
    CHECK(plan.find(road.second) != std::string::npos);
  }
  Session session(schema);
  session.script("BEGIN");
  session.run("UPDATE tasks SET status = 'running' WHERE id <= 100 OR id > 2000");
  CHECK(session.run("SELECT n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relid = 'tasks'::regclass").integer(0, 0) == 140);
  session.script("ROLLBACK");
}
