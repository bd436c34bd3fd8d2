#include "worker/listener.hpp"

#include <fmt/format.h>

namespace millrace::worker {
namespace {

void look_at_schedules(State& state) {
  state.schedules_changed = true;
  state.heart_bell.ring();
}

// Here and not in the heart, which may be busy with a rescue.
void stop_cancelled(State& state, postgres::Connection& link) {
  look_for_cancellations(state, link);
  interrupt_stopped(state, link);
  state.orders_changed = true;
  state.heart_bell.ring();  // it sees to it that sessions are interrupted again
}

}  // namespace

void listen(State& state) {
  std::unique_ptr<postgres::Connection> link;
  int attached = 0;       // of state.registrations
  std::string schedules;  // the channel on which it is told that schedules were changed
  std::string own;        // the channel on which this worker is told that somebody cancelled a task of its
  for (int failures = 0; state.listening;) {
    try {
      if (!link) {
        attached = state.registrations;
        link = state.connect("listener");
        for (const auto& serving : state.queues) {
          const auto channel =
              link->run(fmt::format("SELECT {}.wake_channel($1)", state.schema), postgres::Params().text(serving->lane.queue()));
          link->listen(channel.text(0, 0));
        }
        schedules = link->run(fmt::format("SELECT {}.schedules_channel()", state.schema)).text(0, 0);
        link->listen(schedules);
        own = link->run(fmt::format("SELECT {}.worker_channel($1)", state.schema), postgres::Params().text(state.id)).text(0, 0);
        link->listen(own);
        state.claimer_bell.ring();
        look_at_schedules(state);
        stop_cancelled(state, *link);
        failures = 0;
      }
      if (const int told = link->wait(state.options.heartbeat, state.listener_fd); told > 0) {
        const int changes = link->heard(schedules);
        const int cancels = link->heard(own);
        if (changes > 0) look_at_schedules(state);
        if (const int wakes = told - changes - cancels; wakes > 0) {
          state.wakes += wakes;
          state.claimer_bell.ring();
        }
        if (cancels > 0) stop_cancelled(state, *link);
      } else if (state.listening) {
        link->script("SELECT 1");
      }
      state.attach_again(*link, attached);
    } catch (const Error& e) {
      link.reset();
      if (state.listening) state.back_off(failures++, "listener", e);
    }
  }
}

}  // namespace millrace::worker
