// millrace enqueue: keys, expiry, and what is said about a task; millrace task: finding it by that.
#include "cli/command.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <string>

using namespace millrace::test;

namespace {

constexpr const char* trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

Words with(const Words& words, const Words& more) {
  Words all = words;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace

TEST_CASE("the second enqueue with a key says that it made nothing, and which task there is") {
  Schema schema;
  const Words cases[] = {{"--key", "order-17"},
                         {"--key", "order-18", "--key-for", "1h"},
                         {"--unique=user"},
                         {"--unique=user,day", "--unique-for", "1h"},
                         {"--unique"},
                         {"--unique-key", "u"},
                         {"--unique-key", "u", "--throttle", "1h"},
                         {"--throttle", "1h"}};
  for (const Words& words : cases) {
    CAPTURE(words.back());
    const Words call = with({"enqueue", "greet", R"({"user": 1, "day": 2})"}, words);
    const auto one = run_json(schema, call);
    const auto two = run_json(schema, call);
    CHECK(one["created"] == true);
    CHECK(two["created"] == false);
    CHECK(two["id"] == one["id"]);
    CHECK(two["status"] == "pending");
  }
  CHECK(schema.number("SELECT count(*) FROM tasks") == 8);
  const Ended said = run(schema, {"enqueue", "greet", "--key", "order-17"});
  CHECK(said.code == 0);
  CHECK(said.out == "already enqueued as task 1 (pending)\n");
}

TEST_CASE("--replace and --debounce say what they did") {
  Schema schema;
  const auto one = run_json(schema, {"enqueue", "greet", R"({"n": 1})", "--unique-key", "u"});
  const auto two = run_json(schema, {"enqueue", "greet", R"({"n": 2})", "--unique-key", "u", "--replace"});
  CHECK(two["id"] == one["id"]);
  CHECK(two["created"] == false);
  CHECK(two["replaced"] == true);
  CHECK(schema.value("SELECT args FROM tasks") == "{\"n\": 2}");
  enqueue(schema, {"ping", "--debounce", "10m", "--debounce-max", "15m"});
  const Ended said = run(schema, {"enqueue", "ping", "--debounce", "10m", "--debounce-max", "15m"});
  CHECK(said.out.starts_with("replaced task "));
  CHECK(said.out.ends_with(" (scheduled)\n"));
  CHECK(schema.number("SELECT count(*) FROM tasks") == 2);
}

TEST_CASE("tags, tenant, correlation, metadata, trace and expiry are shown, and find the task") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet", "--tag", "a", "--tag", "b", "--tenant", "acme", "--correlation", "c-1", "--meta",
                                          "from=x=y", "--meta", "to=", "--traceparent", trace, "--expires-at", "2199-01-01T00:00:00Z"});
  enqueue(schema, {"greet", "--tag", "a", "--expires-in", "1h"});
  enqueue(schema, {"greet"});
  const auto shown = run_json(schema, {"task", "show", id});
  CHECK(shown["tags"] == nlohmann::json({"a", "b"}));
  CHECK(shown["tenant"] == "acme");
  CHECK(shown["correlation"] == "c-1");
  CHECK(shown["metadata"] == nlohmann::json({{"from", "x=y"}, {"to", ""}}));
  CHECK(shown["traceparent"] == trace);
  CHECK(shown["expires_at"] == "2199-01-01T00:00:00.000000Z");
  CHECK(shown["reason"].is_null());
  CHECK(run(schema, {"task", "show", id}).out.find("tags          a, b\n") != std::string::npos);
  CHECK(run_lines(schema, {"task", "list", "--tag", "a"}).size() == 2);
  CHECK(run_lines(schema, {"task", "list", "--tag", "a", "--tag", "b"}).size() == 1);
  CHECK(run_lines(schema, {"task", "list", "--tenant", "acme", "--correlation", "c-1"}).size() == 1);
  CHECK(run_lines(schema, {"task", "list", "--tenant", "nobody"}).empty());
  const auto many = run_lines(schema, {"enqueue", "greet", "--lines", "--tag", "batch"}, {.input = "{}\n{}\n"});
  CHECK(many.size() == 2);
  CHECK(run_lines(schema, {"task", "list", "--tag", "batch"}).size() == 2);
}

TEST_CASE("bad keys and the like are refused in one line that names them") {
  Schema schema;
  const std::pair<Words, const char*> cases[] = {
      {{"--key", ""}, "key"},
      {{"--key-for", "1h"}, "--key-for needs a key"},
      {{"--key", "a", "--key-for", "soon"}, "--key-for"},
      {{"--unique", "{}"}, "--unique is followed by the args"},
      {{"--unique=a,,b"}, "--unique has 0 bytes"},
      {{"--unique-for", "1h"}, "--unique-for needs --unique-key or --unique"},
      {{"--unique=a", "--unique-key", "b"}, "--unique cannot be given together with --unique-key"},
      {{"--debounce", "1s", "--throttle", "1s"}, "throttle cannot be given together"},
      {{"--debounce", "1s", "--delay", "1s"}, "debounce cannot be given together with --at or --delay"},
      {{"--debounce", "0s"}, "debounce"},
      {{"--debounce-max", "1s"}, "--debounce-max needs --debounce"},
      {{"--replace"}, "replace needs"},
      {{"--tag", ""}, "--tag has 0 bytes"},
      {{"--tenant", ""}, "tenant"},
      {{"--meta", "novalue"}, "--meta"},
      {{"--meta", "a=1", "--meta", "a=2"}, "--meta names \"a\" twice"},
      {{"--traceparent", "x"}, "traceparent is no W3C trace context"},
      {{"--expires-in", "-1s"}, "--expires-in"},
      {{"--expires-at", "tomorrow"}, "--expires-at"},
      {{"--expires-in", "1s", "--expires-at", "2199-01-01T00:00:00Z"}, "--expires-in cannot be given together"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.second);
    check_refused(run(schema, with({"enqueue", "greet"}, one.first)), 2, one.second);
  }
  check_refused(run(schema, {"enqueue", "greet", "--lines", "--key", "a"}, {.input = "{}\n{}\n"}), 2,
                "key cannot be given for many tasks at once");
  CHECK(schema.number("SELECT count(*) FROM tasks") == 0);
}

TEST_CASE("retrying a task whose unique key another live one has is refused, exit code 4") {
  Schema schema;
  const std::string old = enqueue(schema, {"greet", "--unique-key", "u"});
  CHECK(run(schema, {"task", "cancel", old}).code == 0);
  enqueue(schema, {"greet", "--unique-key", "u"});
  check_refused(run(schema, {"task", "retry", old}), 4, "has its unique key and is live");
}

TEST_CASE("correlation and trace come from the environment, and a malformed trace there is as good as none") {
  Schema schema;
  const Words seen{"MILLRACE_CORRELATION_ID=c-9", std::string("TRACEPARENT=") + trace};
  enqueue(schema, {"greet"}, {.environment = seen});
  enqueue(schema, {"greet", "--correlation", "mine"}, {.environment = seen});
  enqueue(schema, {"greet"}, {.environment = {"MILLRACE_CORRELATION_ID=", "TRACEPARENT=nonsense"}});
  CHECK(schema.value("SELECT string_agg(concat_ws(' ', correlation, left(traceparent, 6)), ', ' ORDER BY id) FROM tasks") ==
        "c-9 00-0af, mine 00-0af, ");
}

TEST_CASE("a program that handles a task sees its correlation id and trace, and hands them on; a plain one sees none") {
  Schema schema;
  const Command worker({"--schema", schema.name(), "worker", "--exec",
                        "parent=printf '{\"c\": \"%s\", \"t\": \"%s\"}' \"${MILLRACE_CORRELATION_ID-none}\" \"${TRACEPARENT-none}\""},
                       {.environment = {"MILLRACE_CORRELATION_ID=the worker's", std::string("TRACEPARENT=") + trace}});
  const std::string one = enqueue(schema, {"parent", "--correlation", "c-1", "--traceparent", trace});
  const std::string two = enqueue(schema, {"parent"});
  CHECK(eventually([&] { return schema.number("SELECT count(*) FROM tasks WHERE status = 'completed'") == 2; }));
  CHECK(schema.value("SELECT result->>'c' || ' ' || (result->>'t') FROM tasks WHERE id = " + one) == std::string("c-1 ") + trace);
  CHECK(schema.value("SELECT result->>'c' || ' ' || (result->>'t') FROM tasks WHERE id = " + two) == "none none");
}
