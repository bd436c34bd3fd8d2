// Nothing is left behind by a test process that is killed.
#pragma once

#include "dev/cluster.hpp"

namespace millrace::testing {

/// Leaves a process behind that waits until this one has ended, however it does, and then stops the cluster's server and deletes its
/// folder, if that is still there. Returns a descriptor that must stay open until then; -1 if the system has no flock(1), and so no guard.
[[nodiscard]] int guard(const dev::Cluster& cluster);

}  // namespace millrace::testing
