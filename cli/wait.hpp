// Waiting for a task's end.
#pragma once

#include <optional>

#include <millrace/client.hpp>

namespace millrace::cli {

struct Globals;

/// Waits for the task's end, at most for `patience` (none: as long as it takes), its progress as a bar on a terminal, and
/// says how it ended. Throws Exit with code 1 unless it is completed, after saying why on standard error.
void wait_for(const Globals& globals, Client& client, TaskId id, std::optional<Milliseconds> patience);

}  // namespace millrace::cli
