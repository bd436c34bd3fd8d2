// A task's row, for programs and for people.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <millrace/client.hpp>

#include "cli/app.hpp"

namespace millrace::cli {

/// Its columns by name as one JSON object, and the progress of its run.
[[nodiscard]] std::string json_of(const TaskRecord& task);
[[nodiscard]] std::string json_of(const TaskRecord& task, const std::optional<Progress>& progress);
/// Everything about it to standard output, a line each. `held_up` is why it does not run, if that is known.
void print_task(const TaskRecord& task, const std::optional<Progress>& progress, const std::string& held_up = {});
/// Which worker a due task lacks; empty if one that is here can take it, or it is not due.
[[nodiscard]] std::string missing_worker(const TaskRecord& task, const std::vector<WorkerRecord>& workers);
/// The lines of `task count`; the noun is what they count.
void print_counts(const Globals& globals, const std::vector<TaskCount>& counts, const char* noun);
/// If this page of the filter's tasks is full and there are more, how to get the next one.
void print_next_page(Client& client, TaskFilter filter, const std::vector<TaskRecord>& page);
/// The first line of its last error; empty if it has none.
[[nodiscard]] std::string last_error(const TaskRecord& task);
/// Such as `[#########-----------]  47 %  47/100  note`, or without the total `47  note`.
[[nodiscard]] std::string bar(const Progress& progress);

}  // namespace millrace::cli
