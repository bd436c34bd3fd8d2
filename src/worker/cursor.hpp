// Where a claimer is in a queue's index: it starts there instead of walking over what is dead at the left edge.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "worker/claimed.hpp"

namespace millrace::worker {

/// The cursors of one queue, one per priority bucket, and when to sweep from the left edge again. Sweeps take at most
/// about a tenth of claiming time, and happen at least every five seconds: what was committed late, behind the cursor,
/// waits no longer. See docs/claiming.md.
class Cursor {
 public:
  /// Whether the next claim is to sweep. `last` is set for the claim before sleeping and for every poll.
  [[nodiscard]] bool sweep_due(Clock::time_point now, bool last) const noexcept { return last || now >= next_sweep_; }
  [[nodiscard]] std::string times(bool sweep) const;
  [[nodiscard]] std::string ids(bool sweep) const;
  /// Takes in a claim's footer: `reached` of each bucket in which it took tickets.
  void reached(int bucket, std::string time, std::int64_t id);
  void swept(Clock::time_point begin, Clock::time_point end) noexcept;
  /// After a lost connection, or when the lane was empty: nothing is remembered.
  void reset();

 private:
  struct Mark {
    std::string time = "-infinity";
    std::int64_t id = 0;
  };
  std::array<Mark, 5> marks_{};
  Clock::time_point next_sweep_{};
};

}  // namespace millrace::worker
