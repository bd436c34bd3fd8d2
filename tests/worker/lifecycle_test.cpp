// Starting and stopping a worker in ways that nobody wishes for.
#include "worker/house.hpp"

#include <sys/resource.h>

#include <fstream>
#include <future>
#include <latch>

using namespace millrace;
using namespace millrace::test;

TEST_CASE("stop() on a thread of the worker is refused, and request_stop() does what is wanted there") {
  House house;
  Worker worker(house.options());
  std::promise<std::string> in_handler, in_listener, in_callback;
  const auto refusal = [&] {
    try {
      worker.stop();
    } catch (const StateError& e) {
      return std::string(e.what());
    }
    return std::string("stopped");
  };
  worker.handle_raw("handler", [&](Context&) -> Outcome<std::string> {
    in_handler.set_value(refusal());
    return std::string{};
  });
  worker.handle_raw("callback", [&](Context& context) -> Outcome<std::string> {
    std::latch asked(1);
    const std::stop_callback callback(context.stop_token(), [&] {
      in_callback.set_value(refusal());
      asked.count_down();
    });
    asked.wait();
    throw std::runtime_error("obeyed");
  });
  worker.handle_raw("last", [&](Context&) -> Outcome<std::string> {
    worker.request_stop();
    return std::string{};
  });
  worker.on(Event::completed, [&](const TaskEvent& event) {
    if (event.kind == "handler") in_listener.set_value(refusal());
  });
  auto run = std::async(std::launch::async, [&] { worker.run(); });
  const std::string text = "stop() was called on one of the worker's own threads, which it waits for; call request_stop() there";
  house.client.enqueue("handler");
  CHECK(in_handler.get_future().get() == text);
  CHECK(in_listener.get_future().get() == text);
  house.client.enqueue("callback", "{}", {.max_attempts = 1, .timeout = 50ms});
  CHECK(in_callback.get_future().get() == text);
  const auto last = house.client.enqueue("last").id;
  run.get();
  CHECK(worker.stop_wished());
  CHECK(house.status(last) == Status::completed);
  house.consistent();
}

TEST_CASE("a stop callback that runs while the worker is stopped cannot stop it again") {
  House house;
  auto options = house.options();
  options.grace = 0ms;
  Worker worker(options);
  std::latch running(1);
  std::string said;
  worker.handle_raw("long", [&](Context& context) -> Outcome<std::string> {
    std::latch asked(1);
    const std::stop_callback callback(context.stop_token(), [&] {
      try {
        worker.stop();
      } catch (const StateError& e) {
        said = e.what();
      }
      asked.count_down();
    });
    running.count_down();
    asked.wait();
    throw std::runtime_error("obeyed");
  });
  worker.start();
  house.client.enqueue("long");
  running.wait();
  CHECK(worker.stop());
  CHECK(said.starts_with("stop() was called on one of the worker's own threads"));
  house.consistent();
}

TEST_CASE("a stopped worker takes no handlers, listeners or schedules any more, and does not start again") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("work", nothing);
  worker.start();
  CHECK_THROWS_AS(worker.handle_raw("more", nothing), StateError);
  CHECK(worker.stop());
  CHECK_THROWS_AS(worker.handle_raw("more", nothing), StateError);
  CHECK_THROWS_AS(worker.on(Event::dead, [](const TaskEvent&) {}), StateError);
  CHECK_THROWS_AS(worker.schedule("nightly", "@daily", "work"), StateError);
  CHECK_THROWS_AS(worker.start(), StateError);
}

// A limit on memory is none under a sanitizer, which takes terabytes of addresses.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a worker that cannot have its threads says so, and leaves nothing behind") {
  House house;
  auto options = house.options();
  options.queues = {{"default", 1000}};
  Worker worker(options);
  worker.handle_raw("work", nothing);
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
  // Room for a dozen stacks of 8 MiB.
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(pages) * 4096 + 256 * 1024 * 1024;
  REQUIRE(::setrlimit(RLIMIT_AS, &tight) == 0);
  std::string said;
  try {
    worker.start();
  } catch (const Error& e) {
    said = e.what();
  } catch (const std::exception& e) {
    said = std::string("no error of ours: ") + e.what();
  }
  REQUIRE(::setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(said.starts_with("the worker's threads cannot be started: "));
  CHECK(house.count("workers") == 0);
  CHECK_THROWS_AS(worker.start(), StateError);
  CHECK(worker.stop());
}
#endif
