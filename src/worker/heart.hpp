// The thread that says that the worker lives, and does maintenance in turn with other workers.
#pragma once

#include <memory>

#include "worker/state.hpp"

namespace millrace::worker {

/// Beats until state.beating is false, so also while the worker drains. docs/liveness.md is its essay.
class Heart {
 public:
  explicit Heart(State& state) : state_(state) {}
  void run();

 private:
  void beat();
  void sweep_expired();
  void flush_stats();
  void fire_schedules();
  void give_back_stale();

  State& state_;
  std::unique_ptr<postgres::Connection> link_;
  int attached_ = 0;  // of state.registrations
  Clock::time_point next_tidy_{};
  Clock::time_point next_sweep_{};
  Clock::time_point next_fire_{};
  bool held_up_ = false;             // somebody holds a row that the beat writes, and that was said
  std::int64_t reports_tidied_ = 0;  // up to this task
  std::int64_t keys_tidied_ = 0;     // the page of task_keys to go on with
};

}  // namespace millrace::worker
