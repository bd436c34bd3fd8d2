// The thread that is woken by NOTIFY.
#pragma once

#include "worker/state.hpp"

namespace millrace::worker {

/// Listens on the channel of each queue and rings the claimer; and on that of the schedules, for the heart. A wake is only ever a hint. After a lost connection it
/// listens again and rings, since wakes may have been missed; the session is probed once per heartbeat.
void listen(State& state);

}  // namespace millrace::worker
