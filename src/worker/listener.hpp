// The thread that is woken by NOTIFY.
#pragma once

#include "worker/state.hpp"

namespace millrace::worker {

/// Listens on the channel of each queue and rings the claimer; on that of the schedules, for the heart; and on the
/// worker's own, whose notifications tell that somebody cancelled a running task: then it asks the runs to stop. A wake is
/// only ever a hint. After a lost connection it listens again and
/// rings, since wakes may have been missed; the session is probed once per heartbeat.
void listen(State& state);

}  // namespace millrace::worker
