// Filters: what they find, what they read, and what they refuse.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <vector>

#include <millrace/error.hpp>

#include "engine/worker_sql.hpp"

using namespace millrace;
using namespace millrace::test;

namespace {

// A history of 20,000 completed tasks, among them 20 dead letters; before and after it 60 live tasks, 3 of them running.
void fill(Schema& schema) {
  auto& link = schema.connection();
  link.run("SELECT enqueue_many('old', array_fill('{}'::jsonb, ARRAY[30]), queue => 'mail', tenant => 'acme', tags => '{red,blue}')");
  link.run("SELECT enqueue_many('bulk', array_fill('{}'::jsonb, ARRAY[20000]), queue => 'history')");
  link.run("DELETE FROM tickets WHERE queue = 'history'");
  link.run(
      "UPDATE tasks SET status = 'completed', started_at = now(), finished_at = timestamptz '2026-01-01' + id * interval '1 second' WHERE "
      "queue = 'history'");
  link.run(
      "UPDATE tasks SET status = 'failed', dead_at = timestamptz '2026-01-01' + id * interval '1 second', correlation = 'c' WHERE queue = "
      "'history' AND id % 1000 = 0");
  link.run("SELECT enqueue_many('new', array_fill('{}'::jsonb, ARRAY[27]), priority => 75, correlation => 'c')");
  link.run("SELECT enqueue_many('late', array_fill('{}'::jsonb, ARRAY[3]), delay => '1 hour')");
  enroll(schema, first);
  CHECK(tasks_in(link.run(claim_sql(first, 3))) == 3);
  link.run("ANALYZE tasks");
}

std::string ids(Schema& schema, const std::string& filter, int most = 1000, const std::string& before = "NULL") {
  return schema.value(fmt::format("SELECT array_agg(id) FROM list_tasks('{}', {}, {})", filter, most, before));
}

// How many rows of tasks a statement reads, by its own session's count.
std::int64_t rows_read(Schema& schema, const std::string& sql) {
  auto& link = schema.connection();
  const auto so_far = [&] {
    return schema.number(
        "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relid = 'tasks'::regclass");
  };
  link.script("BEGIN");
  const auto before = so_far();
  link.run(sql);
  const auto read = so_far() - before;
  link.script("ROLLBACK");
  return read;
}

}  // namespace

TEST_CASE("a filter finds what the same words of SQL find, newest first, and counts it") {
  Schema schema;
  fill(schema);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{}", "true"},
      {R"({"status": "pending"})", "status = 'pending'"},
      {R"({"status": "scheduled"})", "status = 'scheduled'"},
      {R"({"status": "running"})", "status = 'running'"},
      {R"({"status": "failed"})", "status = 'failed'"},
      {R"({"status": ["running", "failed", "pending"], "queue": "default"})",
       "status IN ('running', 'failed', 'pending') AND queue = 'default'"},
      {R"({"status": "pending", "queue": "mail"})", "status = 'pending' AND queue = 'mail'"},
      {R"({"kind": ["old", "late"]})", "kind IN ('old', 'late')"},
      {R"({"correlation": "c"})", "correlation = 'c'"},
      {R"({"correlation": "c", "status": "failed"})", "correlation = 'c' AND status = 'failed'"},
      {R"({"tenant": "acme", "kind": "old"})", "tenant = 'acme'"},
      {R"({"tags": ["blue", "red"]})", "tags @> '{red,blue}'"},
      {R"({"tags": "green"})", "false"},
      {R"({"ids": [1, 40, 1000, 999999]})", "id IN (1, 40, 1000)"},
      {R"({"dead_from": "2026-01-01T02:00:00Z", "dead_until": "2026-01-01T03:00:00Z"})",
       "dead_at >= '2026-01-01 02:00+00' AND dead_at < '2026-01-01 03:00+00'"},
      {R"({"finished_until": "2026-01-01T00:10:00Z"})", "finished_at < '2026-01-01 00:10+00'"},
      {R"({"finished_from": "2026-01-01T05:30:00Z", "queue": "history"})", "finished_at >= '2026-01-01 05:30+00'"},
      {R"({"created_from": "2000-01-01T00:00:00Z", "kind": "late"})", "kind = 'late'"},
      {R"({"created_until": "2000-01-01T00:00:00Z"})", "false"},
      {R"({"kind": null, "status": "scheduled"})", "status = 'scheduled'"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.first);
    const std::string naive = "SELECT array_agg(id) FROM (SELECT id FROM tasks WHERE " + one.second + " ORDER BY id DESC LIMIT 1000) t";
    CHECK(ids(schema, one.first) == schema.value(naive));
    CHECK(schema.number(fmt::format("SELECT coalesce(sum(tasks), 0) FROM count_tasks('{}')", one.first)) ==
          schema.number("SELECT count(*) FROM tasks WHERE " + one.second));
  }
  // Pages.
  CHECK(ids(schema, R"({"kind": "old"})", 3) == "{30,29,28}");
  CHECK(ids(schema, R"({"kind": "old"})", 3, "28") == "{27,26,25}");
  CHECK(ids(schema, R"({"status": "failed"})", 2, "20000") == "{19000,18000}");
  CHECK(ids(schema, R"({"kind": "old"})", 3, "1").empty());
  CHECK(schema.number("SELECT depth('mail')") == 30);
  CHECK(schema.number("SELECT depth()") == 24);
  CHECK(schema.number("SELECT depth('nobody''s')") == 0);
  CHECK(schema.value("SELECT string_agg(c::text, ' ') FROM count_tasks('{\"kind\": [\"new\", \"late\"]}') c") ==
        "(default,late,scheduled,3) (default,new,pending,24) (default,new,running,3)");
}

TEST_CASE("a page reads little more than itself, whatever the history holds") {
  Schema schema;
  fill(schema);
  const std::vector<std::pair<std::string, int>> cases = {
      {"{}", 60},
      {R"({"status": "completed"})", 120},
      {R"({"queue": "history"})", 120},
      {R"({"kind": "bulk", "status": "completed", "queue": "history"})", 120},
      {R"({"status": "pending"})", 120},
      {R"({"status": "running"})", 60},
      {R"({"status": "failed"})", 120},
      {R"({"status": "failed", "kind": "bulk"})", 120},
      {R"({"status": ["pending", "failed", "running"]})", 240},
      {R"({"correlation": "c"})", 120},
      {R"({"tenant": "acme", "status": "pending"})", 120},
      {R"({"tags": "red"})", 120},
      {R"({"ids": [5, 10000]})", 10},
      {R"({"dead_from": "2026-01-01T02:00:00Z"})", 120},
  };
  for (const bool analyzed : {true, false}) {
    if (!analyzed) schema.connection().run("DELETE FROM pg_statistic WHERE starelid = 'tasks'::regclass");
    for (const auto& one : cases) {
      CAPTURE(one.first);
      const auto read = rows_read(schema, fmt::format("SELECT count(*) FROM list_tasks('{}')", one.first));
      CHECK(read > 0);
      CHECK(read <= one.second);
    }
  }
  // And counts read what is live or dead, not the history.
  CHECK(rows_read(schema, R"(SELECT * FROM count_tasks('{"status": ["pending", "failed"]}'))") <= 200);
}

TEST_CASE("a batch finds its tickets by their index, whatever else waits for the same moment") {
  Schema schema;
  enqueue(schema, 20'000);
  auto& link = schema.connection();
  const auto so_far = [&] { return schema.number("SELECT pg_stat_get_xact_blocks_fetched('tickets_claim'::regclass)"); };
  const auto pages = schema.number("SELECT pg_relation_size('tickets_claim') / current_setting('block_size')::integer");
  for (const std::string call : {"cancel_tasks('{\"kind\": \"k\"}', 100)", "reprioritise_tasks('{\"kind\": \"k\"}', 99, 100, 100)",
                                 "delete_tasks('{\"status\": \"pending\"}', 100, 200)"}) {
    CAPTURE(call);
    link.script("BEGIN");
    const auto before = so_far();
    CHECK(schema.number("SELECT done FROM " + call) == 100);
    // A walk of the index for each task would read a hundred times its pages; the road to the ids reads them once.
    CHECK(so_far() - before < 100 * 12 + 2 * pages);
    CHECK(100 * pages > 2 * (100 * 12 + 2 * pages));
    link.script("COMMIT");
  }
  consistent(schema);
}

TEST_CASE("a filter means the same time whatever the session's style of dates and its zone") {
  Schema schema;
  auto& link = schema.connection();
  link.run("SELECT enqueue_many('k', array_fill('{}'::jsonb, '{3}'))");
  link.run("UPDATE tasks SET created_at = timestamptz '2026-01-05 12:00+00' + (id - 2) * interval '1 hour'");
  for (const char* style : {"ISO, DMY", "SQL, DMY", "Postgres, MDY", "German"}) {
    for (const char* zone : {"UTC", "Asia/Kolkata", "Asia/Shanghai", "America/New_York"}) {
      CAPTURE(style);
      CAPTURE(zone);
      link.script(fmt::format("SET datestyle = '{}'; SET timezone = '{}'", style, zone));
      CHECK(ids(schema, R"({"created_from": "2026-01-05T11:30:00Z", "created_until": "2026-01-05T12:30:00Z"})") == "{2}");
      CHECK(schema.number(R"(SELECT tasks FROM plan_tasks('delete', '{"created_until": "2026-01-05T11:30:00+00"}'))") == 1);
    }
  }
  link.script("SET timezone = 'Asia/Kolkata'; SET datestyle = 'SQL, DMY'");
  CHECK(schema.number(R"(SELECT done FROM delete_tasks('{"created_from": "2026-01-05T12:30:00Z"}'))") == 1);
  CHECK(schema.value("SELECT array_agg(id ORDER BY id) FROM tasks") == "{1,2}");
}

TEST_CASE("a filter that is none is refused by the name of its field") {
  Schema schema;
  const auto refused = [&](const std::string& filter, const std::string& message) {
    CAPTURE(filter);
    try {
      schema.connection().run("SELECT list_tasks(" + filter + ")");
      FAIL("it was accepted");
    } catch (const DatabaseError& e) {
      CHECK(e.sqlstate() == "22023");
      CHECK_MESSAGE(std::string(e.what()).starts_with(message), e.what());
    }
  };
  refused("NULL", "filter must be a JSON object");
  refused("'[]'", "filter must be a JSON object");
  refused(R"('{"colour": "red"}')", "filter has a field colour; known are ids, status");
  refused(R"('{"status": "done"}')", "status is \"done\"; allowed are waiting, pending");
  refused(R"('{"status": []}')", "status has 0 elements");
  refused(R"('{"kind": ""}')", "kind is \"\"");
  refused(R"('{"queue": 7}')", "queue is 7");
  refused(R"('{"tenant": ["a"]}')", "tenant must be a text");
  refused(R"('{"ids": ["1"]}')", "ids is \"1\"");
  refused(R"('{"ids": [-1]}')", "ids is -1");
  refused(R"('{"created_from": "yesterday-ish"}')", "created_from is");
  refused(R"('{"created_from": "infinity"}')", "created_from is");
  refused(R"('{"created_until": "2024-01-01 00:00+99:00"}')", "created_until is");
  refused(R"('{"created_until": "2024-13-01"}')", "created_until is");
  refused(R"('{"dead_until": 17}')", "dead_until must be a text");
  refused(R"('{"status": [null]}')", "status is null; allowed are waiting, pending");
  refused(R"('{"status": ["failed", null]}')", "status is null");
  refused(R"('{"kind": [null]}')", "kind is null");
  refused("'{}', 0", "most is 0; allowed is 1 to 1000");
  refused("'{}', 1001", "most is 1001");
  // Values are literals, never words of the statement.
  CHECK(ids(schema, R"({"kind": "x'' OR true --", "correlation": "%L $1 ''; DROP TABLE tasks"})").empty());
}
