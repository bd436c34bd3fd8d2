// Changes of many tasks beside workers, and beside each other.
#include "worker/house.hpp"

#include <fmt/format.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

using namespace millrace;
using namespace millrace::test;

namespace {

constexpr int tasks = 3000;

Client another(const House& house) { return Client({.database = house.schema.url(), .schema = house.schema.name()}); }

// Each on a thread of its own, with a client of its own; what one throws fails the test.
void all_at_once(const House& house, const std::vector<std::function<void(Client&)>>& bodies) {
  std::vector<std::thread> threads;
  std::atomic<int> thrown{0};
  for (const auto& body : bodies) {
    threads.emplace_back([&house, &thrown, body] {
      try {
        Client client = another(house);
        body(client);
      } catch (const std::exception& e) {
        ++thrown;
        fmt::print(stderr, "{}\n", e.what());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(thrown == 0);
}

}  // namespace

TEST_CASE("cancelling many tasks beside workers that claim and complete them loses none") {
  House house;
  std::atomic<int> runs{0};
  const auto make = [&] {
    auto options = house.options();
    options.queues = {{"default", 8}};
    auto worker = std::make_unique<Worker>(options);
    worker->handle_raw("k", [&](Context&) -> Outcome<std::string> {
      ++runs;
      return std::string{};
    });
    return worker;
  };
  const auto one = make(), two = make();
  house.client.enqueue_many("k", std::vector<std::string>(tasks, "{}"));
  one->start();
  two->start();
  std::atomic<std::int64_t> cancelled{0};
  const auto cancel = [&](Client& client) {
    while (client.depth() > 0) cancelled += client.cancel_tasks({.kind = "k"}).done;
  };
  const auto shuffle = [](Client& client) {
    for (int priority = 0; client.depth() > 0; priority = (priority + 25) % 100) client.reprioritise_tasks({.kind = "k"}, priority);
  };
  const auto hurry = [](Client& client) {
    while (client.depth() > 0) client.run_tasks_now({.status = {Status::pending}, .kind = "k"});
  };
  all_at_once(house, {cancel, shuffle, hurry, cancel});
  CHECK(eventually([&] { return house.count("tasks WHERE status IN ('pending', 'retrying', 'running')") == 0; }));
  one->stop();
  two->stop();
  const auto completed = house.count("tasks WHERE status = 'completed'");
  CHECK(completed <= runs);
  CHECK(completed + house.count("tasks WHERE status = 'cancelled'") == tasks);
  CHECK(house.count("tasks WHERE status = 'cancelled'") >= cancelled);
  house.consistent();
}

TEST_CASE("dead letters that two revive at once are revived once each") {
  House house;
  house.client.enqueue_many("k", std::vector<std::string>(tasks, "{}"));
  house.client.enqueue("k", "{}", {.unique_key = "a"});
  house.client.cancel_tasks({.kind = "k"});
  const TaskFilter dead{.status = {Status::cancelled}, .kind = "k"};
  std::atomic<std::int64_t> revived{0};
  const auto revive = [&](Client& client) { revived += client.retry_tasks(dead).done; };
  const auto all = [&](Client& client) {
    revive(client);
    // What the other had in hand fits no more, or still does.
    while (client.count(dead).size() > 0) revive(client);
  };
  all_at_once(house, {all, all, all});
  CHECK(revived == tasks + 1);
  CHECK(house.count("tickets") == tasks + 1);
  house.consistent();
}

TEST_CASE("deleting, cancelling and reviving the same tasks at once leaves no orphans") {
  House house;
  house.client.enqueue_many("k", std::vector<std::string>(tasks, "{}"), {.expires_in = 1h});
  std::atomic<std::int64_t> deleted{0};
  std::atomic<bool> over{false};
  const auto cancel = [&](Client& client) {
    while (!over) client.cancel_tasks({.kind = "k"});
  };
  const auto revive = [&](Client& client) {
    while (!over) client.retry_tasks({.status = {Status::cancelled}, .kind = "k"});
  };
  const auto remove = [&](Client& client) {
    while (!client.count({.kind = "k"}).empty()) deleted += client.delete_tasks({.kind = "k"}).done;
    over = true;
  };
  all_at_once(house, {cancel, revive, remove});
  CHECK(deleted == tasks);
  for (const std::string table : {"tasks", "tickets", "expiries", "cancel_requests"}) {
    CAPTURE(table);
    CHECK(house.count(table) == 0);
  }
}

TEST_CASE("a batch steps over what somebody has in hand, and says so") {
  House house;
  house.client.enqueue_many("k", std::vector<std::string>(10, "{}"));
  Session other(house.schema);
  other.script("BEGIN");
  other.run("SELECT FROM tickets WHERE id <= 3 FOR UPDATE");
  CHECK(house.client.reprioritise_tasks({.kind = "k"}, 1).held == 3);
  const auto changes = house.client.cancel_tasks({.kind = "k"});
  CHECK(changes.done == 7);
  CHECK(changes.held == 3);
  CHECK(house.client.delete_tasks({.status = {Status::pending}, .kind = "k"}).held == 3);
  other.script("ROLLBACK");
  CHECK(house.client.cancel_tasks({.kind = "k"}).done == 3);
  other.script("BEGIN");
  other.run("SELECT FROM tasks WHERE id <= 2 FOR UPDATE");
  CHECK(house.client.retry_tasks({.status = {Status::cancelled}}).held == 2);
  CHECK(house.client.delete_tasks({.status = {Status::cancelled}}).held == 2);
  other.script("ROLLBACK");
  house.consistent();
}

TEST_CASE("reviving many tasks whose keys or rows somebody holds ends soon, and does the others") {
  constexpr int keyed = 60;
  House house;
  house.schema.connection().run(
      fmt::format("SELECT count(enqueue_once('k', unique_key => 'u' || g)) FROM generate_series(1, {}) g", keyed));
  house.client.enqueue_many("k", std::vector<std::string>(2, "{}"));
  REQUIRE(house.client.cancel_tasks({.kind = "k"}).done == keyed + 2);
  Session other(house.schema), batch(house.schema);
  // Sixty waits of 250 ms would be more, let alone of two seconds.
  batch.script("SET statement_timeout = '8s'");
  const std::string retry = R"(SELECT done, held FROM retry_tasks('{"status": "cancelled"}'))";
  other.script("BEGIN");
  REQUIRE(other.run("SELECT FROM task_keys FOR UPDATE").size() == keyed);
  batch.start(retry);
  REQUIRE(batch.finish().empty());
  CHECK(batch.rows().integer(0, 0) == 2);
  CHECK(batch.rows().integer(0, 1) == keyed);
  other.script("ROLLBACK");
  other.script("BEGIN");
  REQUIRE(other.run(fmt::format("SELECT FROM tasks WHERE id <= {} FOR UPDATE", keyed)).size() == keyed);
  batch.start(retry);
  REQUIRE(batch.finish().empty());
  CHECK(batch.rows().integer(0, 0) == 0);
  CHECK(batch.rows().integer(0, 1) == keyed);
  // One task alone has a bound of its own.
  batch.start("SELECT retry(1)");
  CHECK(batch.finish() == "55P03");
  other.script("ROLLBACK");
  batch.start(retry);
  REQUIRE(batch.finish().empty());
  CHECK(batch.rows().integer(0, 0) == keyed);
  CHECK(batch.rows().integer(0, 1) == 0);
  house.consistent();
}

TEST_CASE("many tasks are enqueued in one transaction, also without session state") {
  House house;
  // What only the server can refuse, in the second part.
  house.schema.connection().script("ALTER TABLE tasks ADD CONSTRAINT small CHECK (args <> '{\"n\": 10000}')");
  std::vector<std::string> args;
  for (int i = 0; i <= 10'000; ++i) args.push_back(fmt::format(R"({{"n": {}}})", i));
  for (const bool listen : {true, false}) {
    CAPTURE(listen);
    Client client({.database = house.schema.url(), .schema = house.schema.name(), .listen = listen});
    CHECK_THROWS_AS(client.enqueue_many("many", args), DatabaseError);
    CHECK(house.count("tasks") == 0);
    // The connection is as good as before.
    CHECK(client.enqueue_many("many", std::span(args).first(3)).size() == 3);
    house.schema.connection().script("TRUNCATE tasks, tickets");
  }
}
