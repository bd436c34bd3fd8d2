// The thread that claims tasks.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "worker/cursor.hpp"
#include "worker/state.hpp"
#include "worker/wake_policy.hpp"

namespace millrace::worker {

/// Claims for every queue with room, sleeps when there is nothing, and keeps the wish to be woken. docs/claiming.md and
/// docs/waking.md are its essays.
class Claimer {
 public:
  /// `link` is the session that start() opened and registered with.
  Claimer(State& state, std::unique_ptr<postgres::Connection> link);
  /// Until state.claiming is false.
  void run();

 private:
  struct Lookout {
    Serving* serving;
    Cursor cursor{};
    bool drained = false;  // the last claim swept and found nothing
    Clock::time_point careful_until{};
    Clock::time_point next_due = Clock::time_point::max();
  };
  struct Footer {
    int took = 0;
    std::string started_at{};
    std::uint64_t xmin = 0;
    std::optional<Milliseconds> next_in{};
  };

  void rest();
  void round();
  /// One claim of one queue. Returns whether to look again at once.
  bool claim(Lookout& lookout, int room, bool suspect);
  Footer read_footer(Lookout& lookout, const postgres::Result& rows, bool suspect) const;
  /// Whether suspects hold back ordinary claims now; takes one if it can run alone.
  bool attend_suspects();
  void attend_wish();
  void connect();
  void wait();

  State& state_;
  std::unique_ptr<postgres::Connection> link_;
  std::vector<Lookout> lookouts_;
  WakePolicy policy_;
  std::uint64_t newest_ = 0;  // until xmin reaches it, an enqueue may not have seen our flag
  bool again_ = false;
  Clock::time_point room_since_{};  // since when we make room for suspects
  Clock::time_point alone_until_{};
};

}  // namespace millrace::worker
