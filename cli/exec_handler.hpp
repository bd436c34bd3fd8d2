// Any program as a handler: args on stdin, result from stdout, outcome by exit code.
#pragma once

#include <string>

#include <millrace/worker.hpp>

namespace millrace::cli {

/// Runs `command` through /bin/sh in a process group of its own. Its stdin has the args byte for byte; its environment has
/// MILLRACE_TASK_ID, _KIND, _QUEUE, _ATTEMPT, _MAX_ATTEMPTS, _LEASE, _WORKER and _SCHEMA. Exit 0 completes the task, with the last
/// non-empty line of stdout as its result if that is JSON; 75 retries it, 65 fails it for good, anything else is a failed
/// attempt with the end of stderr. When the run is asked to stop the whole group gets SIGTERM, two seconds later SIGKILL.
[[nodiscard]] RawHandler exec_handler(std::string command, std::string schema);

}  // namespace millrace::cli
