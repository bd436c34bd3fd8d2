// What is asked of a worker, by its program and from outside.
#include "worker/house.hpp"

#include <fmt/format.h>

#include <atomic>
#include <latch>

using namespace millrace;
using namespace millrace::test;

namespace {

// Told, not found out: nothing is looked at for minutes.
WorkerOptions patient(House& house) {
  auto options = house.options();
  options.lease_ttl = 10min;
  options.heartbeat = 3min;
  options.poll_interval = 1h;
  return options;
}

bool says(House& house, const Worker& worker, const std::string& state) {
  return eventually([&] {
    for (const WorkerRecord& one : house.client.workers()) {
      if (one.id == worker.id()) return one.state == state;
    }
    return false;
  });
}

}  // namespace

TEST_CASE("a paused worker finishes what has begun, gives back what has not, and claims again when resumed") {
  House house;
  for (const bool outside : {false, true}) {
    CAPTURE(outside);
    std::latch go(1);
    std::atomic<int> runs{0};
    auto options = patient(house);
    options.queues = {{"default", 1}};
    Worker worker(options);
    worker.handle_raw("work", [&](Context&) -> Outcome<std::string> {
      ++runs;
      go.wait();
      return std::string{};
    });
    const auto ids = house.client.enqueue_many("work", std::vector<std::string>(3, "{}"));
    worker.start();
    REQUIRE(eventually([&] { return runs == 1; }));
    outside ? static_cast<void>(house.client.pause_worker(worker.id())) : worker.pause();
    REQUIRE(says(house, worker, "paused"));
    CHECK(worker.paused());
    REQUIRE(eventually([&] { return house.count("ready_tasks") == 2; }));
    go.count_down();
    CHECK(house.client.wait(ids[0], 30s)->status == Status::completed);
    CHECK(house.client.get(ids[1])->attempt == 0);
    // What is enqueued now wakes nobody here.
    const TaskId later = house.client.enqueue("work").id;
    CHECK(house.count("workers WHERE wants_wake") == 0);
    CHECK(runs == 1);
    outside ? static_cast<void>(house.client.resume_worker(worker.id())) : worker.resume();
    CHECK(house.client.wait(ids[2], 30s)->status == Status::completed);
    CHECK(house.client.wait(later, 30s)->status == Status::completed);
    REQUIRE(says(house, worker, "running"));
    CHECK(worker.stop());
    house.consistent();
  }
}

TEST_CASE("a worker that only polls hears of a pause by its heartbeat") {
  House house;
  auto options = house.options();
  options.listen = false;
  Worker worker(options);
  worker.handle_raw("work", nothing);
  worker.start();
  house.client.pause_worker(worker.id());
  REQUIRE(says(house, worker, "paused"));
  const TaskId id = house.client.enqueue("work").id;
  CHECK(house.status(id) == Status::pending);
  house.client.resume_worker(worker.id());
  CHECK(house.reaches(id, Status::completed));
  worker.stop();
}

TEST_CASE("a worker that is asked to stop ends its run, and cannot be resumed") {
  House house;
  Worker worker(patient(house));
  std::latch go(1);
  std::atomic<bool> running{false};
  worker.handle_raw("work", [&](Context&) -> Outcome<std::string> {
    running = true;
    go.wait();
    return std::string{};
  });
  std::thread thread([&] { worker.run(); });
  const TaskId id = house.client.enqueue("work").id;
  REQUIRE(eventually([&] { return running.load(); }));
  house.client.stop_worker(worker.id());
  REQUIRE(says(house, worker, "stopping"));
  CHECK(worker.stop_wished());
  CHECK_THROWS_AS(house.client.resume_worker(worker.id()), StateError);
  CHECK(house.client.stop_worker(worker.id()) == worker.id());
  go.count_down();
  thread.join();
  CHECK(house.status(id) == Status::completed);
  CHECK(house.client.workers().empty());
  house.consistent();
}

TEST_CASE("workers are told apart by id, its beginning, or name") {
  House house;
  auto options = house.options();
  options.name = "north";
  options.queues = {{"default", 1}, {"mail", 2}};
  Worker north(options);
  options.name = "twin";
  Worker one(options), two(options);
  for (Worker* worker : {&north, &one, &two}) worker->start();
  const auto all = house.client.workers();
  REQUIRE(all.size() == 3);
  CHECK(all[0].name == "north");
  CHECK(all[0].queues == std::vector<std::string>{"default", "mail"});
  CHECK(all[0].state == "running");
  CHECK(all[0].alive);
  CHECK(house.client.pause_worker("north") == north.id());
  CHECK(house.client.pause_worker(one.id().substr(0, 13)) == one.id());
  CHECK_THROWS_WITH_AS(house.client.pause_worker("twin"),
                       "worker \"twin\" is the name, or the beginning of the id, of 2 workers; give a whole id", InvalidArgument);
  CHECK_THROWS_AS(house.client.pause_worker("south"), NotFound);
  CHECK_THROWS_AS(house.client.pause_worker(one.id().substr(0, 3)), NotFound);
  CHECK_THROWS_AS(house.client.pause_worker(""), InvalidArgument);
  for (Worker* worker : {&north, &one, &two}) worker->stop();
}
