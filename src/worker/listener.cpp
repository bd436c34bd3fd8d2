#include "worker/listener.hpp"

#include <fmt/format.h>

namespace millrace::worker {
namespace {

void look_at_schedules(State& state) {
  state.schedules_changed = true;
  state.heart_bell.ring();
}

}  // namespace

void listen(State& state) {
  std::unique_ptr<postgres::Connection> link;
  std::string schedules;  // the channel on which it is told that schedules were changed
  for (int failures = 0; state.listening;) {
    try {
      if (!link) {
        link = state.connect("listener");
        for (const auto& serving : state.queues) {
          const auto channel =
              link->run(fmt::format("SELECT {}.wake_channel($1)", state.schema), postgres::Params().text(serving->lane.queue()));
          link->listen(channel.text(0, 0));
        }
        schedules = link->run(fmt::format("SELECT {}.schedules_channel()", state.schema)).text(0, 0);
        link->listen(schedules);
        state.claimer_bell.ring();
        look_at_schedules(state);
        failures = 0;
      }
      if (const int told = link->wait(state.options.heartbeat, state.listener_fd); told > 0) {
        const int changes = link->heard(schedules);
        if (changes > 0) look_at_schedules(state);
        if (changes < told) {
          state.wakes += told - changes;
          state.claimer_bell.ring();
        }
      } else if (state.listening) {
        link->script("SELECT 1");
      }
    } catch (const Error& e) {
      link.reset();
      if (state.listening) state.back_off(failures++, "listener", e);
    }
  }
}

}  // namespace millrace::worker
