// Dead letters: revived, purged, and forwarded to a queue of their own.
#include "worker/house.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

using namespace millrace;
using namespace millrace::test;

namespace {

WorkerOptions serving(House& house, const std::string& queue) {
  auto options = house.options();
  options.queues = {{queue, 4}};
  return options;
}

// Lets tasks of a kind fail in a queue until these are dead.
void bury(House& house, const std::vector<TaskId>& ids, const std::string& queue = "default", const std::string& why = "no luck") {
  Worker worker(serving(house, queue));
  worker.handle_raw("k", [&](Context&) -> Outcome<std::string> { return fail(why); });
  worker.start();
  for (const TaskId id : ids) REQUIRE(house.reaches(id, Status::failed));
  worker.stop();
}

}  // namespace

TEST_CASE("dead letters are counted, revived with their history, and purged by age") {
  House house;
  const auto ids = house.client.enqueue_many("k", std::vector<std::string>(5, "{}"));
  bury(house, ids);
  const TaskFilter dead{.status = {Status::failed}};
  CHECK(house.client.list(dead).size() == 5);
  CHECK(house.client.count(dead).at(0).tasks == 5);
  CHECK(house.client.plan(Action::retry, {.kind = "k"}).at(0).effect == "retried");
  house.schema.connection().run("UPDATE tasks SET dead_at = dead_at - interval '1 day' WHERE id <= 2");
  const Time now = *house.schema.connection().run("SELECT now()").time(0, 0);
  CHECK(house.client.list({.dead_until = now - 1h}).size() == 2);
  CHECK(house.client.list({.dead_from = now - 1h}).size() == 3);
  CHECK(house.client.delete_tasks({.status = {Status::failed}, .dead_until = now - 1h}).done == 2);
  CHECK(house.schema.value("SELECT done FROM purge_dead(now() - interval '1 hour')") == "0");

  CHECK(house.client.retry_tasks({.dead_from = now - 1h}).done == 3);
  CHECK(house.client.list(dead).empty());
  const auto again = house.client.get(ids[2]).value();
  CHECK(again.status == Status::pending);
  CHECK(again.attempt == 0);
  CHECK_FALSE(again.dead_at);
  REQUIRE(again.errors.size() == 1);
  CHECK(again.errors[0].message == "no luck");
  house.consistent();
  bury(house, {ids[2], ids[3], ids[4]}, "default", "again");
  CHECK(house.client.get(ids[2])->errors.size() == 2);
  CHECK(house.schema.value("SELECT done FROM purge_dead(now() + interval '1 hour', '{\"kind\": \"k\"}')") == "3");
  CHECK(house.count("tasks") == 0);
}

TEST_CASE("a dead letter is forwarded once, with all that is said about it, and not from there") {
  House house;
  house.client.set_dead_queue("default", "morgue");
  CHECK(house.client.dead_queues().at(0).target == "morgue");
  const EnqueueOptions about{.priority = 77,
                             .max_attempts = 2,
                             .backoff = fixed(0ms),
                             .timeout = 5min,
                             .expires_in = 1h,
                             .correlation = "c",
                             .tenant = "t",
                             .tags = {"a"},
                             .metadata = {{"m", "n"}},
                             .unique_key = "u"};
  const TaskId id = house.client.enqueue("k", R"({"a": 1})", about).id;
  // The second attempt is the last.
  bury(house, {id});
  const auto dead = house.client.get(id).value();
  REQUIRE(dead.forwarded_to);
  const auto copy = house.client.get(*dead.forwarded_to).value();
  CHECK(copy.forwarded_from == id);
  CHECK(copy.status == Status::pending);
  CHECK(copy.queue == "morgue");
  CHECK(copy.kind == "k");
  CHECK(copy.args == dead.args);
  CHECK(copy.priority == Priority(77));
  CHECK(copy.attempt == 0);
  CHECK(copy.max_attempts == 2);
  CHECK(copy.timeout == dead.timeout);
  CHECK(copy.backoff == dead.backoff);
  CHECK_FALSE(copy.expires_at);
  CHECK(copy.correlation == dead.correlation);
  CHECK(copy.tenant == dead.tenant);
  CHECK(copy.tags == dead.tags);
  CHECK(copy.metadata == dead.metadata);
  CHECK(copy.errors.empty());
  house.consistent();

  // It dies there too, and stays: two tasks in all.
  bury(house, {copy.id}, "morgue");
  CHECK_FALSE(house.client.get(copy.id)->forwarded_to);
  CHECK(house.count("tasks") == 2);
  // Revived and dead again, the first is forwarded again.
  CHECK(house.client.retry(id) == Status::pending);
  bury(house, {id});
  CHECK(house.client.get(id)->forwarded_to != copy.id);
  CHECK(house.count("tasks") == 3);

  house.client.set_dead_queue("default", {});
  CHECK(house.client.dead_queues().empty());
  const TaskId last = house.client.enqueue("k").id;
  bury(house, {last});
  CHECK_FALSE(house.client.get(last)->forwarded_to);
  house.consistent();
}

TEST_CASE("a task that takes its worker down for the last time is forwarded by the rescue") {
  House house;
  house.client.set_dead_queue("default", "morgue");
  auto& sql = house.schema;
  house.client.enqueue_many("k", std::vector<std::string>(2, "{}"), {.max_attempts = 1});
  // Only a death while running alone uses up the last attempt: first both die together, then each as a suspect.
  const char* worker = "00000000-0000-4000-8000-00000000000a";
  for (int death = 0; death < 4 && sql.number("SELECT count(*) FROM tasks WHERE queue = 'morgue'") < 2; ++death) {
    sql.connection().run(fmt::format("SELECT register_worker('{}', 'w', 'h', 1, '0', '{{default}}', '30 seconds')", worker));
    for (const char* suspect : {"false", "true"})
      sql.connection().run(
          fmt::format("SELECT claim('{}', 'default', 10, array_fill('-infinity'::timestamptz, '{{5}}'), array_fill(0, '{{5}}'), false, {})",
                      worker, suspect));
    sql.connection().run("UPDATE workers SET seen_at = now() - interval '1 hour'");
    sql.connection().run("SELECT rescue()");
  }
  CHECK(sql.number("SELECT count(*) FROM tasks WHERE queue = 'morgue' AND status = 'pending'") == 2);
  CHECK(sql.number(
            "SELECT count(*) FROM tasks d JOIN tasks c ON c.id = d.forwarded_to AND c.forwarded_from = d.id WHERE d.status = 'failed'") ==
        2);
  CHECK(house.count("doctor()") == 0);
}

TEST_CASE("dead-letter queues that lead back are refused") {
  House house;
  house.client.set_dead_queue("a", "b");
  house.client.set_dead_queue("b", "c");
  CHECK_THROWS_AS(house.client.set_dead_queue("c", "a"), InvalidArgument);
  CHECK_THROWS_AS(house.client.set_dead_queue("d", "d"), InvalidArgument);
  CHECK_THROWS_AS(house.client.set_dead_queue("", "d"), InvalidArgument);
  CHECK_THROWS_AS(house.client.set_dead_queue("d", ""), InvalidArgument);
  house.client.set_dead_queue("b", "d");
  house.client.set_dead_queue("c", "a");
  const auto all = house.client.dead_queues();
  REQUIRE(all.size() == 3);
  CHECK(all[1].queue == "b");
  CHECK(all[1].target == "d");
}

TEST_CASE("a kind's dead-letter queue goes before the queue's, and is for the first death only") {
  House house;
  house.client.set_dead_queue("default", "morgue");
  house.client.set_dead_queue_of_kind("k", "clinic");
  house.client.set_dead_queue("clinic", "default");
  const auto all = house.client.dead_queues();
  REQUIRE(all.size() == 3);
  CHECK(all[0].kind == "k");
  CHECK_FALSE(all[0].queue);
  const TaskId id = house.client.enqueue("k").id;
  bury(house, {id});
  const TaskId copy = house.client.get(id)->forwarded_to.value();
  CHECK(house.client.get(copy)->queue == "clinic");
  // From there by the queues alone: clinic, default, morgue, and no further.
  bury(house, {copy}, "clinic");
  const TaskId third = house.client.get(copy)->forwarded_to.value();
  CHECK(house.client.get(third)->queue == "default");
  bury(house, {third});
  const TaskId fourth = house.client.get(third)->forwarded_to.value();
  CHECK(house.client.get(fourth)->queue == "morgue");
  bury(house, {fourth}, "morgue");
  CHECK_FALSE(house.client.get(fourth)->forwarded_to);
  house.client.set_dead_queue_of_kind("k", std::nullopt);
  CHECK(house.client.dead_queues().size() == 2);
  CHECK_THROWS_AS(house.client.set_dead_queue_of_kind("", "clinic"), InvalidArgument);
  house.consistent();
}

TEST_CASE("a task that is revived and dies in the same way keeps both errors") {
  House house;
  const TaskId id = house.client.enqueue("k").id;
  bury(house, {id});
  house.client.retry(id);
  bury(house, {id});
  CHECK(house.client.get(id)->errors.size() == 2);
}

TEST_CASE("purging dead letters says itself which state they are in and when they died") {
  House house;
  const auto ids = house.client.enqueue_many("k", std::vector<std::string>(2, "{}"));
  bury(house, ids);
  CHECK_THROWS_WITH(house.schema.value(R"(SELECT purge_dead(now() + interval '1 hour', '{"status": "cancelled"}'))"),
                    R"(filter has status or dead_until; allowed is neither, for they follow from "before")");
  Session session(house.schema);
  session.start(R"(SELECT purge_dead(now() + interval '1 hour', '{"kind": "k", "dead_until": "2020-01-01"}'))");
  CHECK(session.finish() == "22023");
  CHECK(house.count("tasks") == 2);
  CHECK(house.schema.value(R"(SELECT done FROM purge_dead(now() + interval '1 hour', '{"dead_from": "2020-01-01"}'))") == "2");
}

TEST_CASE("a circle of dead-letter queues that was written past the functions is refused, not followed for ever") {
  House house;
  house.schema.connection().run("INSERT INTO dead_queues (queue, target) VALUES ('x', 'y'), ('y', 'x')");
  Session session(house.schema);
  session.script("SET statement_timeout = '20s'");
  session.start("SELECT set_dead_queue('a', 'x')");
  CHECK(session.finish() == "22023");
  house.client.set_dead_queue("x", "z");
  house.client.set_dead_queue("a", "x");
  CHECK(house.client.dead_queues().size() == 3);
}
