// Bad input in SQL and through the library: a typed error that names the field, no row, and the connection stays usable.
#include "support/schema.hpp"

#include <millrace/client.hpp>
#include <millrace/limits.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <pqxx/pqxx>

#include <string>
#include <vector>

using namespace millrace;
using test::Schema;

TEST_CASE("enqueue in SQL refuses what is out of range by name") {
  Schema schema;
  auto& link = schema.connection();
  const std::pair<const char*, const char*> cases[] = {
      {"enqueue('')", "kind has 0 bytes"},
      {"enqueue(repeat('x', 129))", "kind has 129 bytes"},
      {"enqueue(NULL)", "kind has no bytes"},
      {"enqueue('k', queue => '')", "queue has 0 bytes"},
      {"enqueue('k', '[]')", "args must be a JSON object, not array"},
      {"enqueue('k', NULL)", "args must be a JSON object, not SQL null"},
      {"enqueue('k', jsonb_build_object('a', repeat('x', 1048576)))", "args has 1048585 bytes"},
      {"enqueue('k', (repeat('{\"a\":', 129) || '1' || repeat('}', 129))::jsonb)", "args is nested more than 128"},
      {"enqueue('k', priority => 101)", "priority is 101; allowed is 0 to 100"},
      {"enqueue('k', priority => -1)", "priority is -1"},
      {"enqueue('k', max_attempts => 0)", "max_attempts is 0; allowed is 1 to 1000"},
      {"enqueue('k', max_attempts => 2147483647)", "max_attempts is 2147483647"},
      {"enqueue('k', delay => '-1 second')", "delay is -00:00:01"},
      {"enqueue('k', delay => '101 years')", "delay is 101 years"},
      {"enqueue('k', delay => '1 second', run_at => now())", "delay cannot be given together with run_at"},
      {"enqueue('k', run_at => 'infinity')", "run_at is infinity"},
      {"enqueue('k', run_at => '-infinity')", "run_at is -infinity"},
      {"enqueue('k', run_at => '294276-01-01')", "run_at is 294276"},
      {"enqueue('k', run_at => '0044-03-15 BC')", "run_at is 0044-03-15"},
      {"enqueue('k', timeout => '0')", "timeout is 00:00:00"},
      // Of mixed sign: they compare as if they were short, and lead out of all time, or into the past.
      {"enqueue('k', delay => '-5000000 years 1800000000 days')", "delay is -5000000 years"},
      {"enqueue('k', delay => '106000000 days -2543999999 hours')", "delay is 106000000 days"},
      {"enqueue('k', timeout => '-12 months 360 days 1 ms')", "timeout is -1 years"},
      {"enqueue('k', timeout => '1 month -29 days')", "timeout is 1 mon"},
      {"enqueue('k', expires_in => '-5000000 years 1800000000 days 1 s')", "expires_in is -5000000 years"},
      {"put_schedule('s', '@daily', 'k', grace => '-5000000 years 1800000000 days 1 s')", "grace is -5000000 years"},
      {"put_schedule('s', '@daily', 'k', grace => NULL)", "grace is null"},
      {"put_schedule('s', '@daily', 'k', jitter => '-5000000 years 1800000000 days 1 s')", "jitter is -5000000 years"},
      {"put_schedule('s', '@daily', 'k', jitter => NULL)", "jitter is null"},
      {"register_kinds('{}')", "kinds must be a JSON array"},
      {"register_kinds('[7]')", "kind has no bytes"},
      {"register_kinds('[{\"kind\": \"k\", \"priority\": 70000}]')", "priority is 70000; allowed is 0 to 100"},
      {"register_kinds('[{\"kind\": \"k\", \"priority\": \"x\"}]')", "priority is \"x\""},
      {"register_kinds('[{\"kind\": \"k\", \"max_attempts\": 1.5}]')", "max_attempts is 1.5"},
      {"register_kinds('[{\"kind\": \"k\", \"timeout_ms\": 1e30}]')", "timeout_ms is 1000"},
      {"begin_wait(NULL)", "task must not be null"},
      {"begin_wait(1, NULL)", "follow must not be null"},
      {"enqueue('k', backoff => '[]')", "backoff must be an object"},
      {"enqueue('k', backoff => '{\"type\": \"fixed\"}')", "backoff.base is missing"},
      {"enqueue('k', backoff => '{\"type\": \"fixed\", \"base\": -1}')", "backoff.base is -1"},
      {"enqueue('k', backoff => '{\"type\": \"fixed\", \"base\": 1, \"wait\": 2}')", "backoff.wait is unknown"},
      {"enqueue('k', backoff => '{\"type\": \"fixed\", \"base\": 1, \"jitter\": 0.6}')",
       "backoff.jitter is 0.6; allowed are 0, and 0.000001 to 0.5"},
      {"enqueue('k', backoff => '{\"type\": \"fixed\", \"base\": 1, \"jitter\": 5e-324}')", "backoff.jitter is 0.0000"},
      {"enqueue('k', backoff => '{\"type\": \"fixed\", \"base\": 1e400}')", "backoff holds a number that is out of range"},
      {"enqueue_many('k', ARRAY['{}', '[]']::jsonb[])", "args must be a JSON object"},
  };
  for (const auto& refused : cases) {  // no structured binding: clang 14 cannot capture one
    const auto& call = refused.first;
    const auto& message = refused.second;
    CAPTURE(call);
    try {
      link.run(fmt::format("SELECT {}", call));
      FAIL("it was accepted");
    } catch (const DatabaseError& e) {
      CHECK(e.sqlstate() == "22023");
      CHECK(std::string(e.what()).starts_with(message));
    }
  }
  CHECK(schema.number("SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM schedules) + (SELECT count(*) FROM kinds)") == 0);
  CHECK(schema.number("SELECT enqueue('a\"; DROP SCHEMA x--', queue => 'ü')") > 0);
  // What only looks odd is taken.
  for (const char* call :
       {"enqueue('k', delay => '1 day -1 hour')", "enqueue('k', delay => '1 month -1 day')", "enqueue('k', delay => '100 years')",
        "enqueue('k', timeout => '1 year')", "enqueue('k', timeout => '-1 month 32 days')", "enqueue('k', timeout => '1 ms')"}) {
    CAPTURE(call);
    CHECK(schema.number(fmt::format("SELECT {}", call)) > 0);
  }
}

TEST_CASE("the library refuses before it sends, and the client stays usable") {
  Schema schema;
  Client client({.database = schema.url(), .schema = schema.name()});
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  for (const std::string& args : std::vector<std::string>{"", "{", "[]", "null", "{\"a\":" + deep + "}", std::string("{}\0", 3),
                                                          "{\"a\":\"\xFF\"}", "{\"a\":\"\\u0000\"}"}) {
    CHECK_THROWS_AS(client.enqueue("k", args), InvalidArgument);
  }
  CHECK_THROWS_AS(client.enqueue("k", "{\"a\":\"" + std::string(1'048'576, 'x') + "\"}"), InvalidArgument);
  CHECK_THROWS_AS(client.enqueue("", "{}"), InvalidArgument);
  CHECK_THROWS_AS(client.enqueue("k", "{}", {.delay = Milliseconds(-1)}), InvalidArgument);
  CHECK_THROWS_AS(client.enqueue("k", "{}", {.delay = Milliseconds::max()}), InvalidArgument);
  CHECK_THROWS_AS(client.enqueue("k", "{}", {.run_at = Time::max()}), InvalidArgument);
  CHECK_THROWS_AS(client.enqueue("k", "{}", {.max_attempts = 0}), InvalidArgument);
  CHECK_THROWS_AS(client.enqueue("k", "{}", {.timeout = Milliseconds(0)}), InvalidArgument);
  CHECK_THROWS_AS(client.enqueue("k", "{}", {.backoff = Backoff{.jitter = 2}}), InvalidArgument);
  CHECK(schema.number("SELECT count(*) FROM tasks") == 0);
  const auto task = client.enqueue("k", R"({"n": 12345678901234567890123, "e": 1e400})");
  CHECK(task.created);
  CHECK(schema.value(fmt::format("SELECT args ->> 'n' FROM tasks WHERE id = {}", task.id.value)) == "12345678901234567890123");
  CHECK(schema.number(fmt::format("SELECT length(args ->> 'e') FROM tasks WHERE id = {}", task.id.value)) == 401);
  CHECK_FALSE(client.get({999'999}));
  CHECK_THROWS_AS(client.cancel({999'999}), NotFound);
  CHECK(client.cancel(task.id) == Status::cancelled);
  CHECK(client.cancel(task.id) == Status::cancelled);
  CHECK(client.retry(task.id) == Status::pending);
  CHECK_THROWS_AS(client.retry(task.id), StateError);
}

TEST_CASE("the longest delay and timeout are the same in the library and in SQL") {
  Schema schema;
  Client client({.database = schema.url(), .schema = schema.name()});
  const millrace::Milliseconds longest = limits::delay_max;
  CHECK(client.enqueue("k", "{}", {.delay = longest, .timeout = limits::timeout_max, .expires_in = longest}).created);
  CHECK_THROWS_AS(static_cast<void>(client.enqueue("k", "{}", {.delay = longest + std::chrono::milliseconds(1)})), InvalidArgument);
  CHECK(schema.number("SELECT count(*) FROM (SELECT enqueue('k', delay => '100 years')) one") == 1);
  schema.connection().run("SELECT enqueue('k', timeout => '1 year')");
  CHECK_THROWS_AS(schema.connection().run("SELECT enqueue('k', delay => '101 years')"), DatabaseError);
}

TEST_CASE("an enqueue in a transaction that an error has aborted is refused, and nothing is left behind") {
  Schema schema;
  pqxx::connection link(schema.url());
  {
    pqxx::work tx(link);
    CHECK_THROWS(tx.exec("SELECT 1 / 0"));
    CHECK_THROWS_AS(millrace::enqueue(tx, "k", R"({"text": "it's $1 \\ ok"})", {.schema = schema.name()}), StateError);
    CHECK_THROWS_AS(millrace::enqueue_many(tx, "k", std::vector<std::string>{"{}"}, {.schema = schema.name()}), StateError);
  }
  CHECK(schema.number("SELECT count(*) FROM tasks") == 0);
  pqxx::work tx(link);
  millrace::enqueue(tx, "k", R"({"text": "it's $1 \\ ok"})", {.schema = schema.name()});
  tx.commit();
  CHECK(schema.value("SELECT args->>'text' FROM tasks") == "it's $1 \\ ok");
}

TEST_CASE("many tasks in one call, in order, all or none") {
  Schema schema;
  Client client({.database = schema.url(), .schema = schema.name()});
  std::vector<std::string> args;
  for (int i = 0; i < 25'000; ++i) args.push_back(fmt::format(R"({{"n": {}}})", i));
  const auto ids = client.enqueue_many("k", args);
  REQUIRE(ids.size() == args.size());
  CHECK(schema.number(fmt::format("SELECT (args ->> 'n')::int FROM tasks WHERE id = {}", ids[24'999].value)) == 24'999);
  CHECK(schema.number(fmt::format("SELECT (args ->> 'n')::int FROM tasks WHERE id = {}", ids[10'000].value)) == 10'000);
  args[20'000] = "[]";
  CHECK_THROWS_WITH(client.enqueue_many("k", args), "args [20000] must be a JSON object");
  CHECK(schema.number("SELECT count(*) FROM tasks") == 25'000);
  CHECK(schema.number("SELECT count(*) FROM doctor()") == 0);
}

TEST_CASE("priorities go by bucket, first come first served within one; nothing runs before its time") {
  Schema schema;
  auto& link = schema.connection();
  for (const char* call :
       {"priority => 30", "priority => 49", "priority => 100", "priority => 0", "priority => 74", "delay => '1 hour', priority => 100"}) {
    link.run(fmt::format("SELECT enqueue('k', {})", call));
  }
  link.run("SELECT register_worker('00000000-0000-4000-8000-00000000000a', 'w', 'h', 1, '0', '{default}', '30 seconds')");
  const auto rows = link.run(
      "SELECT id FROM claim('00000000-0000-4000-8000-00000000000a', 'default', 10, array_fill('-infinity'::timestamptz, '{5}'), "
      "array_fill(0, '{5}')) WHERE kind IS NOT NULL");
  std::string order;
  for (int row = 0; row < rows.size(); ++row) order += fmt::format("{} ", rows.integer(row, 0));
  CHECK(order == "3 5 1 2 4 ");
}

TEST_CASE("retry policies: their delays, with jitter, and no overflow") {
  Schema schema;
  const auto within = [&](const char* policy, int attempt, double low, double high) {
    return schema.number(fmt::format("SELECT count(*) FROM generate_series(1, 200), LATERAL (SELECT extract(epoch FROM retry_delay({}, "
                                     "{})) AS s) d WHERE d.s BETWEEN {} AND {}",
                                     policy, attempt, low, high)) == 200;
  };
  CHECK(within("NULL", 1, 12.75, 17.25));
  CHECK(within("NULL", 3, 51, 69));
  CHECK(within("NULL", 1000, 3060, 4140));
  CHECK(within("'{\"type\": \"linear\", \"base\": 10, \"cap\": 35, \"jitter\": 0}'", 3, 30, 30));
  CHECK(within("'{\"type\": \"linear\", \"base\": 10, \"cap\": 35, \"jitter\": 0}'", 9, 35, 35));
  CHECK(within("'{\"type\": \"fixed\", \"base\": 2, \"jitter\": 0.5}'", 7, 1, 3));
  CHECK(within("'{\"type\": \"exponential\", \"base\": 31536000, \"cap\": 31536000, \"multiplier\": 100}'", 1000, 26805600, 36266400));
  CHECK(within("'{\"type\": \"exponential\", \"base\": 1e-8, \"multiplier\": 100, \"jitter\": 0}'", 4, 0.01, 0.01));
  // Whatever is accepted has a delay, for any attempt: a failure that cannot be recorded would be tried for ever.
  for (const char* policy :
       {R"({"type": "fixed", "base": 5e-324, "jitter": 0.5})", R"({"type": "fixed", "base": 1, "cap": 5e-324, "jitter": 0.5})",
        R"({"type": "linear", "base": 31536000, "cap": 31536000, "jitter": 1e-6})", R"({"type": "linear", "base": 1e-300})",
        R"({"type": "exponential", "base": 1e-300, "multiplier": 100, "jitter": 0.5})",
        R"({"type": "exponential", "base": 31536000, "cap": 31536000, "multiplier": 100, "jitter": 0.5})"}) {
    CAPTURE(policy);
    schema.connection().run(fmt::format("SELECT backoff_check('{}')", policy));
    CHECK(schema.number(
              fmt::format("SELECT count(*) FROM generate_series(1, 200) g, unnest('{{-2147483648,0,1,2,1000,2147483647}}'::integer[]) a"
                          " WHERE retry_delay('{}', a) BETWEEN interval '0' AND interval '600 days'",
                          policy)) == 1200);
  }
}

TEST_CASE("error history keeps the latest ten, cut to 4096 characters") {
  Schema schema;
  auto& link = schema.connection();
  link.run("SELECT enqueue('k', max_attempts => 20)");
  link.run("SELECT register_worker('00000000-0000-4000-8000-00000000000a', 'w', 'h', 1, '0', '{default}', '30 seconds')");
  for (int i = 0; i < 12; ++i) {
    link.run(
        fmt::format("SELECT f.* FROM claim('00000000-0000-4000-8000-00000000000a', 'default', 1, array_fill('-infinity'::timestamptz, "
                    "'{{5}}'), array_fill(0, '{{5}}')) c,"
                    " LATERAL fail('00000000-0000-4000-8000-00000000000a', ARRAY[1::bigint], ARRAY[c.id], ARRAY[repeat('x', 5000)], delays "
                    "=> ARRAY['0'::interval]) f WHERE c.kind IS NULL"));
  }
  CHECK(schema.number("SELECT jsonb_array_length(errors) FROM tasks") == 10);
  CHECK(schema.number("SELECT (errors -> -1 ->> 'attempt')::int FROM tasks") == 12);
  CHECK(schema.number("SELECT length(errors -> 0 ->> 'message') FROM tasks") == 4096);
}

TEST_CASE("the same note over and over does not push the errors out") {
  Schema schema;
  auto& link = schema.connection();
  link.run("SELECT enqueue('k')");
  link.run("SELECT register_worker('00000000-0000-4000-8000-00000000000a', 'w', 'h', 1, '0', '{default}', '30 seconds')");
  for (int i = 0; i < 3; ++i) {
    link.run(
        "SELECT r.* FROM claim('00000000-0000-4000-8000-00000000000a', 'default', 1, array_fill('-infinity'::timestamptz, '{5}'),"
        " array_fill(0, '{5}')) c, LATERAL release('00000000-0000-4000-8000-00000000000a', ARRAY[1::bigint], ARRAY[c.id],"
        " note => 'no handler') r WHERE c.kind IS NULL");
  }
  CHECK(schema.number("SELECT jsonb_array_length(errors) FROM tasks") == 1);
  CHECK(schema.value("SELECT errors -> 0 ->> 'message' FROM tasks") == "no handler");
}
