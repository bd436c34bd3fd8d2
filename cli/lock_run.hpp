// A command that runs while a lock is held.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <millrace/lock.hpp>

namespace millrace::cli {

struct Globals;

/// What to say when somebody else has the lock, after so long: who, if that is known.
[[nodiscard]] StateError refusal(const std::string& name, Milliseconds waited, const std::optional<std::string>& owner,
                                 const std::optional<Time>& expires_at);

/// Acquires the lock, runs the command with our standard files, and releases the lock when it has ended. Signals that ask us to end are
/// passed on to it. If the lock is lost it gets SIGTERM, and SIGKILL a tenth of the ttl later, before the lease is over.
/// Returns its exit code, or 128 + the signal that ended it. Throws StateError if somebody else has the lock or it was lost.
int run_locked(const Globals& globals, const std::string& name, const LockOptions& options, const std::vector<std::string>& command);

}  // namespace millrace::cli
