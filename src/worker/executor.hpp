// The thread that runs handlers.
#pragma once

#include <memory>

#include "worker/state.hpp"

namespace millrace::worker {

/// Runs tasks of one queue, in one slot, until its lane is closed, or its run was abandoned. Owns a share of the state, because
/// a handler that does not obey may outlive the worker.
void execute(const std::shared_ptr<State>& state, Serving& serving, Slot& slot);

/// Settles, as timed out, a run that was abandoned because it did not obey its timeout.
void leave_behind(State& state, Serving& serving, const Claimed& task);

}  // namespace millrace::worker
