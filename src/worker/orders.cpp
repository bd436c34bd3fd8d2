#include "worker/orders.hpp"

#include <fmt/format.h>

#include <string_view>

namespace millrace::worker {
namespace {

const char* state_of(const State& state) {
  if (!state.claiming) return "stopping";
  return state.paused() ? "paused" : "running";
}

}  // namespace

void attend_orders(State& state, postgres::Connection& link) {
  for (std::string_view before; before != state_of(state);) {
    before = state_of(state);
    const auto rows =
        link.run(fmt::format("SELECT {}.attend_wish($1, $2)", state.schema), postgres::Params().text(state.id).text(std::string(before)));
    const std::string_view wish = rows.text(0, 0);
    const bool pause = wish == "pause";
    if (state.paused_there.exchange(pause) != pause) {
      state.log->info("worker {} is asked to {}", state.options.name, pause ? "pause" : "go on");
      state.claimer_bell.ring();
    }
    if (wish == "stop" && !state.stop_wished.exchange(true)) {
      state.log->info("worker {} is asked to stop", state.options.name);
      state.on_stop_wish();
    }
  }
}

}  // namespace millrace::worker
