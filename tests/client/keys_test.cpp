// Keys and what is said about a task, in C++: options, definitions, and what handlers pass on.
#include "worker/house.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>
#include <pqxx/pqxx>

#include <functional>
#include <string>
#include <utility>
#include <vector>

using namespace millrace;
using namespace millrace::test;

namespace millrace::test {

struct Refresh {
  std::int64_t user = 0;
  std::string why{};
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Refresh, user, why)

namespace {
constexpr const char* trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
}

}  // namespace millrace::test

TEST_CASE("the library refuses by name what is out of range, before it sends") {
  House house;
  const std::vector<std::pair<const char*, std::function<void(EnqueueOptions&)>>> cases = {
      {"key", [](auto& o) { o.key = ""; }},
      {"key", [](auto& o) { o.key = std::string(257, 'x'); }},
      {"key", [](auto& o) { o.key = "\xFF"; }},
      {"key", [](auto& o) { o.key = std::string("a\0b", 3); }},
      {"key_for", [](auto& o) { o.key_for = 1h; }},
      {"key_for", [](auto& o) { o.key = "a", o.key_for = 0ms; }},
      {"key_for", [](auto& o) { o.key = "a", o.key_for = Milliseconds::max(); }},
      {"unique_key", [](auto& o) { o.unique_key = ""; }},
      {"unique_by", [](auto& o) { o.unique_by = {{""}}; }},
      {"unique_by", [](auto& o) { o.unique_by = std::vector<std::string>(17, "a"); }},
      {"unique_by", [](auto& o) { o.unique_key = "a", o.unique_by.emplace(); }},
      {"unique_for", [](auto& o) { o.unique_for = 1h; }},
      {"unique_for", [](auto& o) { o.unique_key = "a", o.unique_for = -1ms; }},
      {"debounce", [](auto& o) { o.debounce = 0ms; }},
      {"debounce", [](auto& o) { o.debounce = 1s, o.delay = 1s; }},
      {"debounce", [](auto& o) { o.debounce = 1s, o.unique_key = "a", o.unique_for = 1s; }},
      {"debounce_max", [](auto& o) { o.debounce_max = 1s; }},
      {"debounce_max", [](auto& o) { o.debounce = 2s, o.debounce_max = 1s; }},
      {"throttle", [](auto& o) { o.throttle = 1s, o.debounce = 1s; }},
      {"throttle", [](auto& o) { o.throttle = Milliseconds::min(); }},
      {"replace", [](auto& o) { o.replace = true; }},
      {"replace", [](auto& o) { o.replace = true, o.unique_key = "a", o.debounce = 1s; }},
      {"expires_in", [](auto& o) { o.expires_in = 0ms; }},
      {"expires_in", [](auto& o) { o.expires_in = 1s, o.expires_at = Time{}; }},
      {"expires_at", [](auto& o) { o.expires_at = Time::max(); }},
      {"correlation", [](auto& o) { o.correlation = ""; }},
      {"tenant", [](auto& o) { o.tenant = std::string(129, 'x'); }},
      {"tags", [](auto& o) { o.tags = std::vector<std::string>(17, "a"); }},
      {"tags", [](auto& o) { o.tags = {""}; }},
      {"metadata",
       [](auto& o) {
         o.metadata = {{"", "a"}};
       }},
      {"metadata",
       [](auto& o) {
         o.metadata = {{"a", "\xFF"}};
       }},
      {"metadata",
       [](auto& o) {
         o.metadata = {{"a", std::string(1, '\0')}};
       }},
      {"metadata",
       [](auto& o) {
         o.metadata = {{"a", std::string(8192, 'x')}};
       }},
      {"traceparent", [](auto& o) { o.traceparent = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"; }},
      {"traceparent", [](auto& o) { o.traceparent = ""; }},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(i);
    EnqueueOptions options;
    cases[i].second(options);
    try {
      static_cast<void>(house.client.enqueue("k", "{}", options));
      FAIL("it was accepted");
    } catch (const InvalidArgument& e) {
      CHECK(e.field() == cases[i].first);
    }
  }
  const std::vector<std::string> two{"{}", "{}"};
  CHECK_THROWS_WITH(house.client.enqueue_many("k", two, {.unique_key = "a"}),
                    "unique_key cannot be given for many tasks at once: enqueue them one by one");
  CHECK_THROWS_AS(house.client.put_schedule("s", "every 1h", "k", "{}", {.task = {.key = "a"}}), InvalidArgument);
  CHECK_THROWS_AS(house.client.put_schedule("s", "every 1h", "k", "{}", {.task = {.correlation = "c"}}), InvalidArgument);
  CHECK(house.count("tasks") == 0);
}

TEST_CASE("everything that can be said comes back with the task's row, and finds it") {
  House house;
  const auto expires = Time{std::chrono::sys_days{std::chrono::year{2199} / 1 / 1}};
  const EnqueueOptions about{.expires_at = expires,
                             .correlation = "order \"17\"",
                             .tenant = "acme",
                             .tags = {"a,b", "ü"},
                             .metadata = {{"from", "x\n\"y\""}},
                             .traceparent = trace};
  const auto one = house.client.enqueue("k", "{}", about);
  CHECK(one.created);
  CHECK(one.status == Status::pending);
  static_cast<void>(house.client.enqueue("k", "{}", {.tenant = "acme", .tags = {"ü"}}));
  static_cast<void>(house.client.enqueue("k"));
  static_cast<void>(house.client.enqueue_many("many", std::vector<std::string>{"{}", "{}"}, about));
  const auto task = house.client.get(one.id).value();
  CHECK(task.expires_at == expires);
  CHECK(task.correlation == about.correlation);
  CHECK(task.tenant == about.tenant);
  CHECK(task.tags == about.tags);
  CHECK(task.metadata == about.metadata);
  CHECK(task.traceparent == about.traceparent);
  CHECK_FALSE(task.reason);
  CHECK(house.client.list({.kind = "k", .correlation = "order \"17\""}).size() == 1);
  CHECK(house.client.list({.tenant = "acme"}).size() == 4);
  CHECK(house.client.list({.tags = {"ü"}}).size() == 4);
  CHECK(house.client.list({.tags = {"ü", "a,b"}}).size() == 3);
  CHECK(house.client.list({.tags = {"none"}}).empty());
  CHECK_THROWS_AS(static_cast<void>(house.client.list({.tags = {""}})), InvalidArgument);
}

TEST_CASE("each key through the client, and within a transaction that rolls back") {
  House house;
  const auto again = [&](const EnqueueOptions& options) {
    const auto one = house.client.enqueue("k", R"({"a": 1})", options);
    const auto two = house.client.enqueue("k", R"({"a": 1, "b": 2})", options);
    CHECK(one.created);
    CHECK_FALSE(two.created);
    CHECK(one.id == two.id);
    CHECK(two.status == one.status);
    return std::pair(one.id, two.replaced);
  };
  CHECK_FALSE(again({.key = "a"}).second);
  CHECK_FALSE(again({.key = "b", .key_for = 10min}).second);
  CHECK_FALSE(again({.unique_key = "a", .unique_for = 1h}).second);
  CHECK_FALSE(again({.unique_by = {{"a"}}}).second);
  CHECK_FALSE(again({.unique_key = "a", .throttle = 1h}).second);
  const auto replaced = again({.unique_key = "r", .replace = true});
  CHECK(replaced.second);
  CHECK(house.client.get(replaced.first)->args == R"({"a": 1, "b": 2})");
  const auto debounced = again({.debounce = 1h, .debounce_max = 2h});
  CHECK(debounced.second);
  CHECK(house.client.get(debounced.first)->status == Status::scheduled);
  CHECK(house.client.enqueue("k", R"({"a": 1})", {.unique_by = std::vector<std::string>{}}).created);
  CHECK(house.client.enqueue("k", R"({"a": 2})", {.unique_by = std::vector<std::string>{}}).created);

  pqxx::connection link(house.schema.url());
  {
    pqxx::work tx(link);
    CHECK(millrace::enqueue(tx, "k", "{}", {.key = "tx's", .schema = house.schema.name()}).created);
    CHECK_FALSE(millrace::enqueue(tx, "k", "{}", {.key = "tx's", .schema = house.schema.name()}).created);
  }
  CHECK(house.client.enqueue("k", "{}", {.key = "tx's"}).created);
}

TEST_CASE("a definition computes keys from the args, and an enqueue may say otherwise") {
  House house;
  const Task<Refresh> refresh("refresh", {.tags = {"cache"}, .debounce = 1h},
                              {.unique_key = [](const Refresh& args) { return fmt::format("user {}", args.user); }});
  const Task<Refresh> import("import", {.key_for = 1h}, {.key = [](const Refresh& args) { return std::to_string(args.user); }});
  const auto one = refresh.enqueue(house.client, {7, "first"});
  const auto two = refresh.enqueue(house.client, {7, "second"});
  CHECK(one.id == two.id);
  CHECK(two.replaced);
  CHECK(house.client.get(one.id)->args == R"({"why": "second", "user": 7})");
  CHECK(house.client.get(one.id)->tags == std::vector<std::string>{"cache"});
  CHECK(refresh.enqueue(house.client, {8, "first"}).created);
  CHECK(refresh.enqueue(house.client, {7, "now"}, {.unique_key = "another"}).status == Status::pending);
  CHECK(import.enqueue(house.client, {7, "a"}).created);
  CHECK_FALSE(import.enqueue(house.client, {7, "b"}).created);
  CHECK(import.enqueue(house.client, {7, "b"}, {.key = "mine"}).created);
}

TEST_CASE("a definition with keys is not enqueued in bulk: its keys are not dropped without a word") {
  House house;
  const std::vector<Refresh> two{{7, "a"}, {7, "b"}};
  const auto text = [](const Refresh& args) { return std::to_string(args.user); };
  const std::pair<const char*, Task<Refresh>> cases[] = {
      {"key", Task<Refresh>("k", {}, {.key = text})},
      {"key", Task<Refresh>("k", {.key = "a"})},
      {"unique_key", Task<Refresh>("k", {}, {.unique_key = text})},
      {"unique_key", Task<Refresh>("k", {.unique_key = "a"})},
      {"unique_by", Task<Refresh>("k", {.unique_by = {{"user"}}})},
      {"debounce", Task<Refresh>("k", {.debounce = 1s})},
      {"throttle", Task<Refresh>("k", {.throttle = 1s})},
  };
  pqxx::connection link(house.schema.url());
  pqxx::work tx(link);
  for (const auto& one : cases) {
    CAPTURE(one.first);
    try {
      static_cast<void>(one.second.enqueue_many(house.client, two));
      FAIL("it was accepted");
    } catch (const InvalidArgument& e) {
      CHECK(e.field() == one.first);
    }
    CHECK_THROWS_AS(static_cast<void>(one.second.enqueue_many(tx, two, {.schema = house.schema.name()})), InvalidArgument);
  }
  CHECK(Task<Refresh>("k", {.tags = {"t"}}).enqueue_many(house.client, two).size() == 2);
  CHECK(house.count("tasks") == 2);
}

TEST_CASE("a handler passes correlation and trace on to what it enqueues, at once or with its transaction") {
  House house;
  const Task<Refresh> child("child", {.queue = "children"});
  std::map<std::string, std::string> seen;
  std::optional<std::string> tenant;
  Worker worker(house.options());
  worker.handle_raw("parent", [&](Context& context) -> Outcome<std::string> {
    seen = context.metadata();
    tenant = context.tenant();
    child.enqueue(context, {1, "at once"});
    child.enqueue(context, context.transaction(), {2, "with it"});
    context.enqueue("child", R"({"user": 3, "why": "beside it"})", {.queue = "children", .correlation = "its own"});
    if (context.attempt() == 1) throw std::runtime_error("the first run fails");
    return std::string{};
  });
  worker.handle_raw("plain", [&](Context& context) -> Outcome<std::string> {
    if (context.correlation() || context.traceparent() || context.tenant() || !context.metadata().empty())
      return fail("it was told something");
    child.enqueue(context, {4, "plain"});
    return std::string{};
  });
  worker.start();
  const auto parent = house.client.enqueue(
      "parent", "{}",
      {.backoff = fixed(1ms), .correlation = "c-1", .tenant = "acme", .metadata = {{"from", "test"}}, .traceparent = trace});
  const auto plain = house.client.enqueue("plain");
  CHECK(house.reaches(parent.id, Status::completed));
  CHECK(house.reaches(plain.id, Status::completed));
  worker.stop();
  CHECK(seen == std::map<std::string, std::string>{{"from", "test"}});
  CHECK(tenant == "acme");
  std::map<std::string, std::vector<TaskRecord>> children;
  for (auto& one : house.client.list({.queue = "children"})) children[nlohmann::json::parse(one.args)["why"]].push_back(std::move(one));
  CHECK(children["at once"].size() == 2);
  CHECK(children["with it"].size() == 1);
  CHECK(children["beside it"].size() == 2);
  for (const char* why : {"at once", "with it"}) {
    for (const auto& one : children[why]) {
      CHECK(one.correlation == "c-1");
      CHECK(one.traceparent == trace);
      CHECK_FALSE(one.tenant);
    }
  }
  CHECK(children["beside it"].at(0).correlation == "its own");
  REQUIRE(children["plain"].size() == 1);
  CHECK_FALSE(children["plain"][0].correlation);
  house.consistent();
}

TEST_CASE("a worker does not start what has expired, and sweeps what nobody claims; unique keys come free as their tasks end") {
  House house;
  const auto expired = house.client.enqueue("k", "{}", {.expires_at = Time{}});
  const auto asleep = house.client.enqueue("k", "{}", {.queue = "nobody's", .expires_at = Time{}});
  static_cast<void>(house.client.enqueue_many("k", std::vector<std::string>(5'000, "{}"), {.queue = "nobody's", .expires_at = Time{}}));
  std::atomic<int> runs{0};
  Worker worker(house.options());
  worker.handle_raw("k", [&](Context&) -> Outcome<std::string> {
    ++runs;
    return std::string{};
  });
  worker.start();
  for (int i = 0; i < 20; ++i) {
    const auto one = house.client.enqueue("k", "{}", {.unique_key = "x"});
    CHECK(one.created);
    CHECK(house.reaches(one.id, Status::completed));
  }
  CHECK(house.reaches(expired.id, Status::cancelled));
  CHECK(house.client.get(expired.id)->reason == "expired");
  CHECK(house.reaches(asleep.id, Status::cancelled));
  CHECK(eventually([&] { return house.count("task_keys") == 0; }));
  CHECK(eventually([&] { return house.count("expiries") == 0; }));  // more than one sweep takes
  worker.stop();
  CHECK(runs == 20);
  house.consistent();
}
