// What fires, and when: by a clock that the test sets.
#include "support/schema.hpp"

#include <millrace/error.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

using namespace millrace;
using namespace millrace::test;

namespace {

// A schema whose clock stands still at the time that the test last set.
struct Stage {
  Schema schema{};

  explicit Stage(const std::string& now = "2026-11-20 12:00:00+00") {
    schema.connection().script("CREATE TABLE stage (now timestamptz); INSERT INTO stage VALUES ('" + now + "')");
    schema.connection().script(
        "CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql STABLE SET search_path FROM CURRENT AS"
        " 'SELECT now FROM stage'");
  }
  void at(const std::string& now) { schema.connection().run("UPDATE stage SET now = '" + now + "'"); }
  std::int64_t fire() { return schema.number("SELECT fired FROM fire_schedules()"); }
  std::string fire_at(const std::string& now) {
    at(now);
    fire();
    return ticks();
  }
  void put(const std::string& rest) { schema.connection().run("SELECT put_schedule('s', " + rest + ")"); }
  // Every recorded tick with its outcome, oldest first, as `12:01 enqueued`.
  std::string ticks(const char* format = "HH24:MI:SS") {
    return schema.value(
        fmt::format("SELECT coalesce(string_agg(to_char(tick AT TIME ZONE 'UTC', '{}') || ' ' || outcome, ', ' ORDER BY tick), '')"
                    " FROM schedule_ticks",
                    format));
  }
  std::int64_t tasks() { return schema.number("SELECT count(*) FROM tasks"); }
  // The latest task of the schedule ends.
  void finish() { schema.connection().run("SELECT cancel(last_task) FROM schedules"); }
  std::string next() { return schema.value("SELECT to_char(next_at AT TIME ZONE 'UTC', 'HH24:MI:SS.MS') FROM schedules"); }
};

}  // namespace

TEST_CASE("a tick fires once, with the task it is to make") {
  Stage stage;
  stage.put(R"('* * * * *', 'report', '{"at": "{{tick}}", "list": ["x {{tick}} y"]}', queue => 'slow', priority => 70, max_attempts => 3,)"
            R"( timeout => '10 s', backoff => '{"type": "fixed", "base": 5}')");
  CHECK(stage.fire() == 0);
  CHECK(stage.next() == "12:01:00.000");
  stage.at("2026-11-20 12:00:59.999+00");
  CHECK(stage.fire() == 0);
  stage.at("2026-11-20 12:01:00+00");
  CHECK(stage.fire() == 1);
  CHECK(stage.fire() == 0);
  CHECK(stage.ticks() == "12:01:00 enqueued");
  CHECK(stage.schema.value("SELECT concat_ws(' ', kind, queue, priority, max_attempts, timeout, backoff->>'base', args) FROM tasks") ==
        R"(report slow 70 3 00:00:10 5 {"at": "2026-11-20T12:01:00Z", "list": ["x 2026-11-20T12:01:00Z y"]})");
  CHECK(stage.schema.value(
            "SELECT k.task = t.id AND s.last_task = t.id AND s.last_tick = k.tick FROM schedules s, schedule_ticks k, tasks t") == "t");
  CHECK(stage.schema.number("SELECT count(*) FROM doctor()") == 0);
}

TEST_CASE("within grace every tick is fired, however late") {
  Stage stage;
  stage.put("'*/20 * * * * *', 'k', grace => '1 minute'");
  CHECK(stage.fire_at("2026-11-20 12:01:10+00") == "12:00:20 enqueued, 12:00:40 enqueued, 12:01:00 enqueued");
  CHECK(stage.next() == "12:01:20.000");
}

TEST_CASE("misfire skip: what is later than grace is missed") {
  Stage stage;
  stage.put("'* * * * *', 'k', misfire => 'skip'");
  CHECK(stage.fire_at("2026-11-20 12:10:30+00") == "12:09:00 missed, 12:10:00 enqueued");
  CHECK(stage.next() == "12:11:00.000");
}

TEST_CASE("misfire one: the latest missed tick is made up for") {
  Stage stage;
  stage.put("'0 * * * *', 'k', misfire => 'one'");
  CHECK(stage.fire_at("2026-11-20 17:30:00+00") == "16:00:00 missed, 17:00:00 enqueued");
  CHECK(stage.tasks() == 1);
  CHECK(stage.fire() == 0);
}

TEST_CASE("misfire all: all missed ticks, at most so many, the latest") {
  Stage stage;
  stage.put("'0 * * * *', 'k', misfire => 'all', misfire_max => 3");
  CHECK(stage.fire_at("2026-11-20 14:30:00+00") == "13:00:00 enqueued, 14:00:00 enqueued");
  CHECK(stage.fire_at("2026-11-20 20:30:00+00") ==
        "13:00:00 enqueued, 14:00:00 enqueued, 17:00:00 missed, 18:00:00 enqueued, 19:00:00 enqueued, 20:00:00 enqueued");
}

TEST_CASE("years of downtime of a rule of every second are made up for at once") {
  Stage stage;
  stage.put("'* * * * * *', 'k', misfire => 'all', misfire_max => 5, grace => '2 seconds'");
  CHECK(
      stage.fire_at("2036-11-20 12:00:00.5+00") ==
      "11:59:53 missed, 11:59:54 enqueued, 11:59:55 enqueued, 11:59:56 enqueued, 11:59:57 enqueued, 11:59:58 enqueued, 11:59:59 enqueued, "
      "12:00:00 enqueued");
}

TEST_CASE("exclusive skip: no new task while the one before is live") {
  Stage stage;
  stage.put("'* * * * *', 'k', exclusive => 'skip'");
  CHECK(stage.fire_at("2026-11-20 12:01:00+00") == "12:01:00 enqueued");
  CHECK(stage.fire_at("2026-11-20 12:02:00+00") == "12:01:00 enqueued, 12:02:00 held");
  stage.finish();
  CHECK(stage.fire_at("2026-11-20 12:03:00+00") == "12:01:00 enqueued, 12:02:00 held, 12:03:00 enqueued");
  CHECK(stage.tasks() == 2);
}

TEST_CASE("exclusive queue: one tick waits for the end of the task before") {
  Stage stage;
  stage.put("'* * * * *', 'k', exclusive => 'queue'");
  stage.fire_at("2026-11-20 12:01:00+00");
  CHECK(stage.fire_at("2026-11-20 12:02:00+00") == "12:01:00 enqueued");
  CHECK(stage.next() == "12:02:00.500");
  CHECK(stage.schema.value("SELECT to_char(owed_tick AT TIME ZONE 'UTC', 'HH24:MI') FROM schedules") == "12:02");
  CHECK(stage.fire_at("2026-11-20 12:03:00+00") == "12:01:00 enqueued, 12:02:00 replaced");
  stage.finish();
  CHECK(stage.fire_at("2026-11-20 12:03:10+00") == "12:01:00 enqueued, 12:02:00 replaced, 12:03:00 enqueued");
  CHECK(stage.next() == "12:04:00.000");
  CHECK(stage.tasks() == 2);
}

TEST_CASE("jitter delays a tick by the same amount for every worker, evenly, and drops none") {
  Stage stage;
  stage.put("'* * * * *', 'k', jitter => '30 seconds', misfire => 'all'");
  const auto delay = [&](int minute) {
    return stage.schema.number(fmt::format(
        "SELECT floor(extract(epoch FROM tick_at(s, '2026-11-20 12:{0:02}+00') - '2026-11-20 12:{0:02}+00'))::integer FROM schedules s",
        minute));
  };
  int early = 0;
  for (int minute = 0; minute < 60; ++minute) {
    CHECK(delay(minute) >= 0);
    CHECK(delay(minute) < 30);
    early += delay(minute) < 15 ? 1 : 0;
  }
  CHECK(early > 15);
  CHECK(early < 45);
  CHECK(stage.schema.value("SELECT next_at = tick_at(s, next_tick) AND next_tick = '2026-11-20 12:01+00' FROM schedules s") == "t");
  stage.at("2026-11-20 12:05:59.9+00");
  CHECK(stage.fire() == 5);
}

TEST_CASE("jitter that is longer than grace misses nothing") {
  Stage stage;
  stage.put("'0 * * * *', 'k', jitter => '50 minutes', grace => '1 second', misfire => 'skip'");
  const std::string at = stage.schema.value("SELECT next_at FROM schedules");
  CHECK(stage.schema.value("SELECT next_at > '2026-11-20 13:00:10+00' FROM schedules") == "t");
  CHECK(stage.fire_at(at) == "13:00:00 enqueued");
}

TEST_CASE("to put a schedule again changes only what differs") {
  Stage stage;
  const auto put = [&](const std::string& rest) { return stage.schema.value("SELECT put_schedule('s', " + rest + ")"); };
  CHECK(put("'0 * * * *', 'k'") == "created");
  CHECK(put("'0 * * * *', 'k'") == "unchanged");
  stage.at("2026-11-20 15:30+00");
  CHECK(put("'0 * * * *', 'k', '{\"a\": 1}'") == "changed");
  // What is due stays due: the plan in time is the same.
  CHECK(stage.next() == "13:00:00.000");
  CHECK(put("'30 * * * *', 'k', '{\"a\": 1}'") == "changed");
  CHECK(stage.next() == "16:30:00.000");
  CHECK(stage.schema.number("SELECT count(*) FROM schedules") == 1);
}

TEST_CASE("rule 23: a clock that was set back fires no tick again") {
  Stage stage;
  stage.put("'* * * * *', 'k'");
  stage.fire_at("2026-11-20 12:02:00+00");
  stage.at("2026-11-20 11:30:00+00");
  CHECK(stage.fire() == 0);
  // Neither when it is changed meanwhile, nor when the record of its ticks is gone.
  stage.schema.connection().run("DELETE FROM schedule_ticks");
  stage.put("'*/2 * * * *', 'k'");
  CHECK(stage.next() == "12:04:00.000");
  stage.schema.connection().script("SELECT pause_schedule('s'); SELECT resume_schedule('s')");
  CHECK(stage.next() == "12:04:00.000");
}

TEST_CASE("a paused schedule fires nothing, and goes on with the next tick") {
  Stage stage;
  stage.put("'* * * * *', 'k', misfire => 'all'");
  stage.schema.connection().script("SELECT pause_schedule('s'); SELECT pause_schedule('s')");
  CHECK(stage.fire_at("2026-11-20 12:10:30+00").empty());
  CHECK(stage.schema.value("SELECT to_char(resume_schedule('s') AT TIME ZONE 'UTC', 'HH24:MI')") == "12:11");
  CHECK(stage.fire_at("2026-11-20 12:11:00+00") == "12:11:00 enqueued");
}

TEST_CASE("run_schedule adds a task beside the ticks") {
  Stage stage;
  stage.put(R"('0 * * * *', 'k', '{"at": "{{tick}}"}')");
  stage.schema.connection().run("SELECT pause_schedule('s')");
  const std::int64_t task = stage.schema.number("SELECT run_schedule('s')");
  CHECK(stage.schema.number("SELECT id FROM tasks") == task);
  CHECK(stage.schema.value("SELECT args->>'at' FROM tasks") == "2026-11-20T12:00:00Z");
  CHECK(stage.ticks().empty());
}

TEST_CASE("a deleted schedule leaves its tasks, and nothing else") {
  Stage stage;
  stage.put("'* * * * *', 'k'");
  stage.fire_at("2026-11-20 12:01:00+00");
  stage.schema.connection().run("SELECT delete_schedule('s')");
  CHECK(stage.tasks() == 1);
  CHECK(stage.schema.number("SELECT (SELECT count(*) FROM schedules) + (SELECT count(*) FROM schedule_ticks)") == 0);
  for (const char* verb : {"pause", "resume", "delete", "run"}) {
    CAPTURE(verb);
    CHECK_THROWS_WITH_AS(stage.schema.connection().run(fmt::format("SELECT {}_schedule('s')", verb)), "there is no schedule \"s\"",
                         DatabaseError);
  }
}

TEST_CASE("rule 23: one bad schedule stops no other, and none of its ticks is lost") {
  Stage stage;
  stage.schema.connection().script(
      "SELECT put_schedule('a', '* * * * *', 'k', misfire => 'all'); SELECT put_schedule('b', '* * * * *', 'k')");
  // Such as a zone that an upgrade of the server took away, or args that grew over a limit that was lowered.
  stage.schema.connection().run("UPDATE schedules SET args = jsonb_build_object('x', repeat('y', 1000)) WHERE name = 'a'");
  stage.schema.connection().run("UPDATE settings SET args_bytes_max = 512");
  stage.at("2026-11-20 12:01:00+00");
  CHECK(stage.fire() == 1);
  CHECK(stage.schema.value("SELECT problem FROM schedules WHERE name = 'a'") != "");
  CHECK(stage.schema.value("SELECT problem IS NULL FROM schedules WHERE name = 'b'") == "t");
  stage.at("2026-11-20 12:02:00+00");
  CHECK(stage.fire() == 1);
  stage.schema.connection().run("UPDATE settings SET args_bytes_max = 4096");
  stage.at("2026-11-20 12:03:00+00");
  CHECK(stage.fire() == 4);
  CHECK(stage.schema.number(
            "SELECT count(*) FROM schedule_ticks k JOIN schedules s ON s.id = k.schedule WHERE s.name = 'a' AND outcome = 'enqueued'") ==
        3);
  CHECK(stage.schema.number("SELECT count(*) FROM schedules WHERE problem IS NOT NULL") == 0);
}

TEST_CASE("tick x tick: two workers at once fire a tick once, and neither waits") {
  Stage stage;
  stage.put("'* * * * *', 'k'");
  stage.at("2026-11-20 12:01:00+00");
  Session first(stage.schema), second(stage.schema);
  first.script("BEGIN");
  CHECK(first.run("SELECT fired FROM fire_schedules()").integer(0, 0) == 1);
  second.start("SELECT fired FROM fire_schedules()");
  CHECK(second.finish().empty());
  CHECK(second.rows().integer(0, 0) == 0);
  // The first dies before its commit: the tick is there for the second.
  first.script("ROLLBACK");
  CHECK(second.run("SELECT fired FROM fire_schedules()").integer(0, 0) == 1);
  CHECK(stage.ticks() == "12:01:00 enqueued");
  CHECK(stage.tasks() == 1);
}

TEST_CASE("two that make the same schedule at once: one creates it, the other finds it") {
  Schema schema;
  Session first(schema), second(schema);
  first.script("BEGIN");
  CHECK(first.run("SELECT put_schedule('s', '0 * * * *', 'k')").text(0, 0) == "created");
  second.start("SELECT put_schedule('s', '0 * * * *', 'k')");
  CHECK(second.blocked(schema));
  first.script("COMMIT");
  CHECK(second.finish().empty());
  CHECK(second.rows().text(0, 0) == "unchanged");
}

TEST_CASE("the record of ticks is bounded") {
  Stage stage;
  stage.put("'* * * * *', 'k'");
  stage.schema.connection().run(
      "INSERT INTO schedule_ticks SELECT id, '2020-01-01'::timestamptz + n * interval '1 minute', 'enqueued', n FROM schedules,"
      " generate_series(1, 1500) n");
  stage.schema.connection().run("SELECT tidy_ticks(id) FROM schedules");
  CHECK(stage.schema.number("SELECT count(*) FROM schedule_ticks") == 1000);
  CHECK(stage.schema.number("SELECT min(task) FROM schedule_ticks") == 501);
}

TEST_CASE("the search for what is due walks its index, whatever the statistics say") {
  Schema schema;
  schema.connection().run("ANALYZE schedules");
  schema.connection().run("SELECT put_schedule('s', '0 0 1 1 *', 'k')");
  schema.connection().run(
      "INSERT INTO schedules (name, rule, plan, zone, gap, fold, anchor, jitter, misfire, misfire_max, grace, exclusive, kind, args, "
      "queue, priority,"
      " max_attempts, next_tick, next_at) SELECT 'n' || n, rule, plan, zone, gap, fold, anchor, jitter, misfire, misfire_max, grace, "
      "exclusive, kind, args,"
      " queue, priority, max_attempts, next_tick, next_at FROM schedules, generate_series(1, 20000) n");
  Session session(schema);
  session.script("BEGIN");
  CHECK(session.run("SELECT fired FROM fire_schedules()").integer(0, 0) == 0);
  const auto& scans = session.run(
      "SELECT coalesce(seq_scan, 0), coalesce(idx_scan, 0), coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
      " WHERE relid = 'schedules'::regclass");
  session.script("ROLLBACK");
  CHECK(scans.integer(0, 0) == 0);
  CHECK(scans.integer(0, 1) == 2);  // what is due; when the next one is
  CHECK(scans.integer(0, 2) == 1);  // the next one
}
