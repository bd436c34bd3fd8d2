#include "worker/deadlines.hpp"

#include "worker/executor.hpp"

#include <algorithm>
#include <system_error>

namespace millrace::worker {

using namespace std::chrono_literals;

void Deadlines::run() {
  while (state_.beating) state_.deadline_bell.wait_until(watch());
}

Clock::time_point Deadlines::watch() {
  auto next = Clock::time_point::max();
  const auto now = Clock::now();
  bool stopped = false;
  for (const auto& serving : state_.queues) {
    serving->slots.each([&](Slot& slot) {
      if (const auto task = slot.overrun(now)) {
        leave_behind(state_, *serving, *task);
        ++serving->missing;
        stopped = true;
        return;
      }
      const Slot::Look look = slot.check_deadline(now, state_.options.timeout_grace);
      stopped = stopped || look.stopped;
      if (look.again) next = std::min(next, *look.again);
    });
    replace_threads(*serving, next);
  }
  if (stopped) state_.heart_bell.ring();  // it interrupts their sessions
  return next;
}

void Deadlines::replace_threads(Serving& serving, Clock::time_point& next) {
  try {
    for (; serving.missing > 0; --serving.missing) state_.replace_executor(serving);
  } catch (const std::system_error& e) {
    state_.log->error("queue {} has {} threads less: no other can be started ({}); trying again", serving.lane.queue(), serving.missing,
                      e.what());
    next = std::min(next, Clock::now() + 1s);
  }
}

}  // namespace millrace::worker
