#include "worker/slot.hpp"

#include <doctest/doctest.h>

#include <thread>

using namespace millrace;
using namespace millrace::worker;
using namespace std::chrono_literals;

TEST_CASE("a deadline stops the run it was given, never the one that follows in its slot") {
  Slot slot;
  const Claimed task{std::make_shared<Batch>(), 0, Clock::now()};
  std::jthread heart([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) static_cast<void>(slot.check_deadline(Clock::now(), 1h));
  });
  int stopped = 0;
  int wrong = 0;
  for (int i = 0; i < 20'000; ++i) {
    slot.begin(task, Clock::now());
    std::this_thread::yield();
    stopped += slot.end().cause == StopCause::timeout ? 1 : 0;
    slot.begin(task, {});
    std::this_thread::yield();
    wrong += slot.end().cause != StopCause::none ? 1 : 0;
  }
  CHECK(stopped > 0);
  CHECK(wrong == 0);
}
