// What people do to tasks, one or many, through the client.
#include "worker/house.hpp"

#include <fmt/format.h>

#include <functional>
#include <latch>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace millrace;
using namespace millrace::test;

namespace {

// An argument that is refused, by its name.
void refused(const char* field, const std::function<void()>& call) {
  CAPTURE(field);
  try {
    call();
    FAIL("it was accepted");
  } catch (const InvalidArgument& e) {
    CHECK_MESSAGE(e.field() == field, e.what());
  }
}

std::vector<TaskId> enqueue_many(House& house, const char* kind, int tasks) {
  return house.client.enqueue_many(kind, std::vector<std::string>(static_cast<std::size_t>(tasks), "{}"));
}

// A worker whose handler of "hold" runs until it is let go.
struct Holder {
  explicit Holder(House& house) : worker(house.options()) {
    worker.handle_raw("hold", [this](Context&) -> Outcome<std::string> {
      started.count_down();
      go.wait();
      return std::string{};
    });
    worker.start();
  }
  std::latch started{1}, go{1};
  Worker worker;
};

}  // namespace

TEST_CASE("a task that waits gets another priority and another time") {
  House house;
  const TaskId one = house.client.enqueue("k").id;
  const TaskId two = house.client.enqueue("k").id;
  CHECK(house.client.reprioritise(two, Priority::critical) == Status::pending);
  CHECK(house.client.get(two)->priority == Priority::critical);
  CHECK(house.schema.number("SELECT bucket FROM tickets WHERE id = 2") == 4);
  const auto later = Time{std::chrono::sys_days{std::chrono::year{2199} / 1 / 1}};
  CHECK(house.client.reschedule(one, later) == Status::scheduled);
  CHECK(house.client.get(one)->run_at == later);
  CHECK(house.client.depth() == 1);
  CHECK(house.client.reprioritise(one, 3) == Status::scheduled);
  CHECK(house.client.run_now(one) == Status::pending);
  CHECK(house.client.get(one)->priority == Priority(3));
  CHECK(house.client.depth() == 2);
  CHECK(house.count("tickets") == 2);

  Worker worker(house.options());
  worker.handle_raw("k", nothing);
  worker.start();
  CHECK(house.reaches(one, Status::completed));
  CHECK(house.reaches(two, Status::completed));
  worker.stop();
  CHECK_THROWS_WITH_AS(house.client.reprioritise(one, 1),
                       "task 1 is completed and cannot be reprioritised; only a pending, scheduled or retrying task can", StateError);
  CHECK_THROWS_AS(house.client.run_now(one), StateError);
  CHECK_THROWS_AS(house.client.reschedule(TaskId{99}, later), NotFound);
  CHECK_THROWS_AS(house.client.delete_task(TaskId{99}), NotFound);
  refused("run_at", [&] { static_cast<void>(house.client.reschedule(one, Time::max())); });
  house.consistent();
}

TEST_CASE("a worker that sleeps until a task is due hears that it was moved forward") {
  House house;
  auto options = house.options();
  options.poll_interval = 1h;
  Worker worker(options);
  worker.handle_raw("k", nothing);
  worker.start();
  const TaskId one = house.client.enqueue("k", "{}", {.delay = 1h}).id;
  const TaskId two = house.client.enqueue("k", "{}", {.delay = 1h}).id;
  CHECK(house.client.run_now(one) == Status::pending);
  CHECK(house.reaches(one, Status::completed));
  CHECK(house.client.run_tasks_now({.kind = "k"}).done == 1);
  CHECK(house.reaches(two, Status::completed));
  worker.stop();
}

TEST_CASE("a deleted task leaves nothing behind; one that runs stays") {
  House house;
  Holder holder(house);
  const TaskId running = house.client.enqueue("hold").id;
  holder.started.wait();
  const TaskId waiting = house.client.enqueue("k", "{}", {.delay = 1h, .expires_in = 2h, .tags = {"a"}}).id;
  CHECK_THROWS_WITH_AS(house.client.delete_task(running), "task 1 is running and cannot be deleted; cancel it first", StateError);
  CHECK_THROWS_AS(house.client.reprioritise(running, 1), StateError);
  house.client.delete_task(waiting);
  CHECK_FALSE(house.client.get(waiting));
  CHECK(house.count("tickets") == 0);
  CHECK(house.count("expiries") == 0);
  CHECK_THROWS_AS(house.client.delete_task(waiting), NotFound);
  holder.go.count_down();
  CHECK(house.reaches(running, Status::completed));
  holder.worker.stop();
  house.client.delete_task(running);
  for (const std::string table : {"tasks", "tickets", "reports", "log_lines", "cancel_requests", "waits"}) {
    CAPTURE(table);
    CHECK(house.count(table) == 0);
  }
  house.consistent();
}

TEST_CASE("who waits for a task that is deleted is told") {
  House house;
  const TaskId id = house.client.enqueue("k", "{}", {.delay = 1h}).id;
  std::thread deleter([&] {
    CHECK(eventually([&] { return house.count("waits") == 1; }));
    Client({.database = house.schema.url(), .schema = house.schema.name()}).delete_tasks({.kind = "k"});
  });
  CHECK_THROWS_AS(static_cast<void>(house.client.wait(id, 60s)), NotFound);
  deleter.join();
  CHECK(house.count("waits") == 0);
}

TEST_CASE("many tasks are planned, cancelled, revived, moved and deleted in batches") {
  House house;
  enqueue_many(house, "k", 2500);
  enqueue_many(house, "other", 3);
  const auto plan = house.client.plan(Action::cancel, {.kind = "k"});
  REQUIRE(plan.size() == 1);
  CHECK(plan[0].status == Status::pending);
  CHECK(plan[0].tasks == 2500);
  CHECK(plan[0].effect == "cancelled");
  CHECK(plan[0].examples == std::vector<TaskId>{{1}, {2}, {3}, {4}, {5}});
  CHECK(house.count("tasks WHERE status = 'pending'") == 2503);

  std::vector<std::int64_t> steps;
  const auto note = [&](const Changes& so_far) { steps.push_back(so_far.done); };
  CHECK(house.client.cancel_tasks({.kind = "k"}, note).done == 2500);
  CHECK(steps == std::vector<std::int64_t>{1000, 2000, 2500});
  CHECK(house.count("tasks WHERE status = 'cancelled' AND finished_at IS NOT NULL AND kind = 'k'") == 2500);
  CHECK(house.count("tickets") == 3);
  CHECK(house.client.cancel_tasks({.kind = "k"}).done == 0);

  // Without a status, retry means those that failed.
  CHECK(house.client.retry_tasks({.kind = "k"}).done == 0);
  CHECK(house.client.retry_tasks({.status = {Status::cancelled}, .kind = "k"}).done == 2500);
  CHECK(house.client.reprioritise_tasks({.kind = "k"}, Priority::low).done == 2500);
  CHECK(house.count("tickets WHERE bucket = 1") == 2500);
  const auto later = Time{std::chrono::sys_days{std::chrono::year{2199} / 1 / 1}};
  CHECK(house.client.reschedule_tasks({.status = {Status::pending}, .kind = "k"}, later).done == 2500);
  CHECK(house.client.depth() == 3);
  const auto counts = house.client.count();
  REQUIRE(counts.size() == 2);
  CHECK(counts[0].kind == "k");
  CHECK(counts[0].status == Status::scheduled);
  CHECK(counts[0].tasks == 2500);
  CHECK(house.client.run_tasks_now({.status = {Status::scheduled}}).done == 2500);
  CHECK(house.client.depth() == 2503);
  house.consistent();
  CHECK(house.client.delete_tasks({.ids = {{{1}, {2}, {2}, {99999}}}}).done == 2);
  CHECK(house.client.delete_tasks({.kind = "k"}).done == 2498);
  CHECK(house.count("tasks") == 3);
  CHECK(house.count("tickets") == 3);
  house.consistent();
}

TEST_CASE("tasks that run are asked to stop by cancel, and left alone by the others") {
  House house;
  Holder holder(house);
  const TaskId running = house.client.enqueue("hold").id;
  holder.started.wait();
  house.client.enqueue_many("k", std::vector<std::string>(3, "{}"), {.queue = "other"});
  const TaskFilter all{.created_from = Time{}};
  CHECK(house.client.cancel_tasks({.kind = "k"}).done == 3);
  const auto plan = house.client.plan(Action::remove, all);
  REQUIRE(plan.size() == 2);
  CHECK(plan[0].status == Status::running);
  CHECK(plan[0].effect == "left alone");
  CHECK(plan[1].effect == "deleted");
  const auto deleted = house.client.delete_tasks(all);
  CHECK(deleted.done == 3);
  CHECK(deleted.running == 1);
  CHECK(house.client.reprioritise_tasks(all, 1).running == 1);
  CHECK(house.client.run_tasks_now(all).running == 1);
  const auto cancelled = house.client.cancel_tasks(all);
  CHECK(cancelled.done == 0);
  CHECK(cancelled.asked == 1);
  CHECK(house.count("cancel_requests") == 1);
  holder.go.count_down();
  REQUIRE(house.client.wait(running, 20s).has_value());
  holder.worker.stop();
  house.consistent();
}

TEST_CASE("a change of many tasks that says too little or too much is refused by name") {
  House house;
  enqueue_many(house, "k", 3);
  auto& client = house.client;
  refused("filter", [&] { client.cancel_tasks({}); });
  refused("filter", [&] { client.delete_tasks({}); });
  refused("filter", [&] { static_cast<void>(client.plan(Action::remove, {})); });
  refused("ids", [&] { client.delete_tasks({.ids = std::vector<TaskId>{}, .status = {Status::pending}}); });
  refused("ids", [&] { client.delete_tasks({.ids = std::vector<TaskId>(10'001)}); });
  refused("before", [&] { client.delete_tasks({.kind = "k", .before = TaskId{2}}); });
  refused("limit", [&] { client.delete_tasks({.kind = "k", .limit = 1}); });
  refused("limit", [&] { static_cast<void>(client.count({.limit = 1})); });
  refused("limit", [&] { static_cast<void>(client.list({.limit = 0})); });
  refused("status", [&] { client.cancel_tasks({.status = {Status::completed}}); });
  refused("status", [&] { client.retry_tasks({.status = {Status::pending}}); });
  refused("status", [&] { client.reprioritise_tasks({.status = {Status::failed}}, 1); });
  refused("run_at", [&] { client.reschedule_tasks({.kind = "k"}, Time::min()); });
  refused("created_from", [&] { client.delete_tasks({.created_from = Time::max()}); });
  refused("kind", [&] { client.delete_tasks({.kind = "\xFF"}); });
  refused("tags", [&] { client.delete_tasks({.tags = {std::string(65, 'x')}}); });
  refused("queue", [&] { static_cast<void>(client.depth("")); });
  CHECK(house.count("tasks WHERE status = 'pending'") == 3);
}

TEST_CASE("an exception of the one who is told ends a change of many tasks") {
  House house;
  enqueue_many(house, "k", 2000);
  // The client is free meanwhile.
  const auto stop = [&](const Changes& so_far) {
    CHECK(house.client.depth() == 2000 - so_far.done);
    throw std::runtime_error("enough");
  };
  CHECK_THROWS_WITH_AS(house.client.cancel_tasks({.kind = "k"}, stop), "enough", std::runtime_error);
  CHECK(house.client.depth() == 1000);
  house.consistent();
}

TEST_CASE("retrying many tasks asks each for its unique key") {
  House house;
  const auto one = house.client.enqueue("u", "{}", {.unique_key = "a"}).id;
  house.client.cancel(one);
  const auto two = house.client.enqueue("u", "{}", {.unique_key = "a"}).id;
  house.client.cancel(two);
  const auto three = house.client.enqueue("u", "{}", {.unique_key = "b"}).id;
  house.client.cancel(three);
  const auto changes = house.client.retry_tasks({.status = {Status::cancelled}});
  CHECK(changes.done == 2);
  CHECK(changes.refused == 1);
  CHECK(changes.held == 0);
  CHECK(house.status(one) == Status::pending);
  CHECK(house.status(two) == Status::cancelled);
  CHECK(house.status(three) == Status::pending);
  CHECK_FALSE(house.client.enqueue("u", "{}", {.unique_key = "a"}).created);
  house.consistent();
}
