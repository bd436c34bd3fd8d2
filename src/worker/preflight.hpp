// Whether this program can read what waits for it.
#pragma once

#include <vector>

#include "worker/state.hpp"

namespace millrace::worker {

/// As Worker::preflight, on a session of its own.
[[nodiscard]] std::vector<PreflightKind> preflight(const State& state);

}  // namespace millrace::worker
