// The thread that claims tasks.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
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
    bool looked = false;
    bool others = false;             // due tasks of kinds that this worker leaves alone wait here
    Clock::time_point look_at{};     // when to look for such tasks again
    Clock::time_point not_before{};  // no claim until then: the last one walked over very many of them
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
  /// Looks, now and then, what this worker leaves alone, and says so of kinds that no live worker handles.
  void look_at_others(Lookout& lookout);
  /// Whether suspects hold back ordinary claims now; takes one if it can run alone.
  bool attend_suspects();
  void attend_wish();
  /// After this worker was taken for dead: registers again, or takes note that the heart did.
  void attend_registration();
  /// Nothing is claimed from these now, so it does not matter when the next task is due.
  void forget_next_due();
  /// Of the kinds that have handlers here, as an array's text.
  [[nodiscard]] std::string kind_hashes();
  void connect();
  void wait();

  State& state_;
  std::unique_ptr<postgres::Connection> link_;
  std::string kinds_;  // what claim() is to take
  std::vector<Lookout> lookouts_;
  std::map<std::pair<std::string, std::string>, Clock::time_point> told_;  // of which queue and kind it was said that nobody handles it
  WakePolicy policy_;
  std::uint64_t newest_ = 0;  // until xmin reaches it, an enqueue may not have seen our flag
  bool again_ = false;
  bool dead_ = false;               // it was taken for dead and has to register again
  int attached_ = 0;                // of state.registrations: at which this session was tied to the worker
  int registration_ = 0;            // and which the policy is about
  Clock::time_point room_since_{};  // since when we make room for suspects
  Clock::time_point alone_until_{};
};

}  // namespace millrace::worker
