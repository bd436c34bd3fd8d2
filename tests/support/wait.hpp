// Waiting for the thing itself, never for an amount of time.
#pragma once

#include <chrono>
#include <latch>
#include <stop_token>
#include <thread>

namespace millrace::test {

/// Looks until `condition` holds; false if it does not within `patience`.
template <class Condition>
bool eventually(const Condition& condition, std::chrono::milliseconds patience = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the pace of looking, not a wait for an event
  }
  return true;
}

/// Waits until a stop is requested.
inline void await_stop(const std::stop_token& token) {
  std::latch asked(1);
  const std::stop_callback tell(token, [&] { asked.count_down(); });
  asked.wait();
}

}  // namespace millrace::test
