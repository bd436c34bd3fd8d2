// The thread that keeps the deadlines of runs.
#pragma once

#include "worker/state.hpp"

namespace millrace::worker {

/// Stops runs whose deadline has passed, and leaves those behind that do not obey. It never waits for the database, which may be
/// what a run hangs on. Until state.beating is false.
class Deadlines {
 public:
  explicit Deadlines(State& state) : state_(state) {}
  void run();

 private:
  /// Returns when to look again.
  Clock::time_point watch();
  void replace_threads(Serving& serving, Clock::time_point& next);

  State& state_;
};

}  // namespace millrace::worker
