#include "worker/listener.hpp"

#include <fmt/format.h>

namespace millrace::worker {

void listen(State& state) {
  std::unique_ptr<postgres::Connection> link;
  for (int failures = 0; state.listening;) {
    try {
      if (!link) {
        link = state.connect("listener");
        for (const auto& serving : state.queues) {
          const auto channel =
              link->run(fmt::format("SELECT {}.wake_channel($1)", state.schema), postgres::Params().text(serving->lane.queue()));
          link->listen(channel.text(0, 0));
        }
        state.claimer_bell.ring();
        failures = 0;
      }
      if (const int wakes = link->wait(state.options.heartbeat, state.listener_fd); wakes > 0) {
        state.wakes += wakes;
        state.claimer_bell.ring();
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
