// millrace worker --until-empty: when to end, and what is waited for meanwhile.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include <millrace/worker.hpp>

namespace millrace::cli {

/// Sends this process the signal that ends a worker once its queues have been empty twice in a row, or returns when `stop` asks for it.
/// `handled` are the kinds that have a program here. Says once what it waits for, when nothing of that runs or is due.
void watch_until_empty(const std::stop_token& stop, const WorkerOptions& options, const std::vector<std::string>& handled);

}  // namespace millrace::cli
