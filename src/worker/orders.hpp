// What people ask of this worker from outside.
#pragma once

#include "worker/state.hpp"

namespace millrace::worker {

/// Says in the worker's row what it does, reads what is asked of it, and does so: claims no more, claims again, or stops.
void attend_orders(State& state, postgres::Connection& link);

}  // namespace millrace::worker
