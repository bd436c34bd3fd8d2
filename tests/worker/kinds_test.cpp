// Which tasks a worker takes: those of the kinds that it has handlers for.
#include "worker/house.hpp"
#include "worker/paper.hpp"

#include <fmt/format.h>

#include <atomic>

using namespace millrace;
using namespace millrace::test;

TEST_CASE("rule 7: a worker takes no kind that it has no handler for; the task waits, uncounted, and it is said that nobody handles it") {
  House house;
  Paper paper;
  auto options = house.options();
  options.logger = paper.logger();
  const auto id = house.client.enqueue("unknown", "{}").id;
  Worker worker(options);
  worker.handle_raw("known", nothing);
  worker.start();
  REQUIRE(paper.says("queue default: 1 task of kind \"unknown\" is due, and no live worker here handles that kind"));
  // What can be done behind it is done.
  REQUIRE(house.reaches(house.client.enqueue("known").id, Status::completed));
  const auto record = house.client.get(id);
  CHECK(record->status == Status::pending);
  CHECK(record->attempt == 0);
  CHECK(record->errors.empty());
  CHECK(house.count("tickets") == 1);
  CHECK(worker.counts().released == 0);

  Worker other(options);
  other.handle_raw("unknown", nothing);
  other.start();
  REQUIRE(house.reaches(id, Status::completed));
  CHECK(worker.stop());
  CHECK(other.stop());
  house.consistent();
}

TEST_CASE("workers that handle different kinds share a queue: each takes its own, and gives nothing back") {
  House house;
  constexpr int each = 300;
  std::atomic<int> wrong{0};
  const auto only = [&](const std::string& kind) -> RawHandler {
    return [&wrong, kind](Context& context) -> Outcome<std::string> {
      if (context.kind() != kind) ++wrong;
      return std::string{};
    };
  };
  for (int i = 0; i < each / 10; ++i) {
    house.client.enqueue_many("red", std::vector<std::string>(10, "{}"));
    house.client.enqueue_many("blue", std::vector<std::string>(10, "{}"));
  }
  Worker red(house.options()), blue(house.options());
  red.handle_raw("red", only("red"));
  blue.handle_raw("blue", only("blue"));
  red.start();
  blue.start();
  CHECK(eventually([&] { return house.count("tasks WHERE status = 'completed'") == 2 * each; }));
  CHECK(red.stop());
  CHECK(blue.stop());
  CHECK(wrong == 0);
  CHECK(red.counts().completed == each);
  CHECK(blue.counts().completed == each);
  CHECK(red.counts().released + blue.counts().released == 0);
  house.consistent();
}

TEST_CASE("a kind whose hash is that of another is given back, uncounted, and says why") {
  House house;
  const auto id = house.client.enqueue("unknown", "{}").id;
  house.schema.connection().run("UPDATE tickets SET kind_hash = kind_hash('known')");
  Worker worker(house.options());
  worker.handle_raw("known", nothing);
  worker.start();
  REQUIRE(eventually([&] { return !house.client.get(id)->errors.empty(); }, 10s));
  const auto record = house.client.get(id);
  CHECK(record->attempt == 0);
  CHECK(record->status == Status::scheduled);
  CHECK(record->errors[0].message.find("no handler for kind \"unknown\"") != std::string::npos);
  CHECK(worker.stop());
  house.consistent();
}

TEST_CASE("a task whose kind was renamed by hand is found by doctor, and claimed once it is mended") {
  House house;
  const auto id = house.client.enqueue("old").id;
  house.schema.connection().run("UPDATE tasks SET kind = 'new'");
  CHECK(house.schema.value("SELECT problem FROM doctor()") == "ticket of another kind");
  CHECK(house.schema.number("SELECT mend()") == 1);
  CHECK(house.count("doctor()") == 0);
  Worker worker(house.options());
  worker.handle_raw("new", nothing);
  worker.start();
  CHECK(house.reaches(id, Status::completed));
  CHECK(worker.stop());
  house.consistent();
}

TEST_CASE("suspects of a kind that a worker does not handle do not keep it from its own") {
  House house;
  const auto stranger = house.client.enqueue("stranger").id;
  house.leave_suspects();
  REQUIRE(house.count("tickets WHERE bucket = -1") == 1);
  // The heartbeat speaks only of those that the worker could take: it stops claiming for them.
  const auto told = [&](const std::string& kinds) {
    auto& link = house.schema.connection();
    const char* asker = "00000000-0000-4000-8000-0000000000ee";
    link.run(fmt::format("SELECT register_worker('{}', 'asker', 'h', 1, '0', '{{default}}', '1 minute', '1 second', {})", asker, kinds));
    const auto suspects = house.schema.value(fmt::format("SELECT suspects FROM heartbeat('{}', '{{}}')", asker));
    link.run(fmt::format("SELECT deregister_worker('{}')", asker));
    return suspects;
  };
  CHECK(told("'{known}'") == "{}");
  CHECK(told("'{known,stranger}'") == "{default}");
  CHECK(told("NULL") == "{default}");
  Worker worker(house.options());
  worker.handle_raw("known", nothing);
  worker.start();
  for (int i = 0; i < 20; ++i) CHECK(house.client.wait(house.client.enqueue("known").id, 20s)->status == Status::completed);
  CHECK(house.client.get(stranger)->status == Status::retrying);
  CHECK(worker.stop());
  house.consistent();
}
