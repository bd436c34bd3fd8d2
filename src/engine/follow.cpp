#include "engine/follow.hpp"

#include "engine/tail.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace millrace::engine {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto patience = 60s;

}  // namespace

void follow(const std::function<std::unique_ptr<postgres::Connection>()>& connect, const std::string& schema, const TailOptions& options,
            const std::function<void(const Transition&)>& on_transition, const std::stop_token& stop) {
  if (!on_transition) throw InvalidArgument("on_transition", "is empty");
  Tail tail(options, schema);
  std::mutex mutex;
  std::condition_variable_any bell;
  const auto pause = [&](Milliseconds time) {
    std::unique_lock lock(mutex);
    bell.wait_for(lock, stop, time, [] { return false; });
  };
  std::unique_ptr<postgres::Connection> link;
  bool ready = false;
  auto last_look = Clock::now();
  for (Milliseconds delay = 50ms; !stop.stop_requested();) {
    std::vector<Transition> transitions;
    try {
      if (!link) link = connect();
      transitions = tail.look(*link);
    } catch (const ConnectionError&) {
      link.reset();
      // The first connection is not waited for: its address may be wrong.
      if (!ready || Clock::now() - last_look > patience) throw;
      pause(delay);
      delay = std::min(delay * 2, Milliseconds(2s));
      continue;
    }
    delay = 50ms;
    last_look = Clock::now();
    if (!ready && options.on_ready) options.on_ready();
    ready = true;
    for (const Transition& one : transitions) {
      if (stop.stop_requested()) return;
      on_transition(one);
    }
    if (tail.skipped() > 0 && options.on_skipped) options.on_skipped(tail.skipped());
    pause(options.interval);
  }
}

}  // namespace millrace::engine
