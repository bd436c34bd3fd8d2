// Reaching into a run: wishes to cancel it, and the statement that its handler's session executes.
#pragma once

#include <atomic>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "worker/claimed.hpp"

namespace millrace::postgres {
class Connection;
}

namespace millrace::worker {

struct State;

/// Tasks of this worker that somebody asked to cancel, remembered for those that have not begun yet.
class Wishes {
 public:
  void add(const std::vector<TaskId>& tasks);
  /// Forgets it, and tells whether it was there. Costs nothing while there are none.
  bool take(TaskId task);

 private:
  std::mutex mutex_;
  std::unordered_map<TaskId, Clock::time_point> tasks_;
  std::atomic<bool> any_{false};
};

/// Asks the runs of these tasks to stop because somebody cancelled them; those that have not begun will not.
void cancel_runs(State& state, const std::vector<TaskId>& tasks);
/// Asks the database, through `link`, which of the worker's tasks somebody cancelled, and does so.
void look_for_cancellations(State& state, postgres::Connection& link);
/// Cancels, through `link`, what the open sessions of runs that were asked to stop execute now. Again every half second
/// while such a session stays open: between two statements there was nothing to cancel. Sessions of runs that were left behind
/// are ended instead. Returns when to come back.
Clock::time_point interrupt_stopped(State& state, postgres::Connection& link);
/// Ends, through `link`, the open sessions of runs that were left behind: the worker is about to leave.
void end_left_sessions(State& state, postgres::Connection& link);

}  // namespace millrace::worker
