// When a worker wants to be woken: always, unless it is busy. Pure logic; the claimer acts on it.
#pragma once

#include <cstdint>

#include "worker/claimed.hpp"

namespace millrace::worker {

/// The flag follows load with hysteresis and changes at most once a second: full claims, or more than 100 wakes within
/// a second, clear it; an empty queue sets it. See docs/waking.md.
class WakePolicy {
 public:
  /// A claim ended: it was full, or not.
  void claimed(bool full) noexcept { full_in_a_row_ = full ? full_in_a_row_ + 1 : 0; }
  void woken(Clock::time_point now) noexcept {
    if (now - second_ >= std::chrono::seconds(1)) {
      second_ = now;
      wakes_ = 0;
    }
    ++wakes_;
  }
  /// Whether to change the flag now: `idle` if the last claim found nothing.
  [[nodiscard]] bool should_change(Clock::time_point now, bool idle) const noexcept {
    if (changed_ != Clock::time_point{} && now - changed_ < std::chrono::seconds(1)) return false;
    if (wanted_) return full_in_a_row_ >= 3 || (wakes_ > 100 && now - second_ < std::chrono::seconds(1));
    return idle;
  }
  void changed(Clock::time_point now) noexcept {
    wanted_ = !wanted_;
    changed_ = now;
    wakes_ = 0;
    full_in_a_row_ = 0;
  }
  /// It could not be changed now: not before a second has passed.
  void put_off(Clock::time_point now) noexcept { changed_ = now; }
  /// The row was written anew (register): the flag is down.
  void reset() noexcept { *this = WakePolicy{}; }
  [[nodiscard]] bool wanted() const noexcept { return wanted_; }

 private:
  bool wanted_ = false;
  int full_in_a_row_ = 0;
  int wakes_ = 0;
  Clock::time_point second_{};
  Clock::time_point changed_{};
};

}  // namespace millrace::worker
