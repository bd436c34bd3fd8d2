// A task's row, for programs and for people.
#pragma once

#include <optional>
#include <string>

#include <millrace/client.hpp>

namespace millrace::cli {

/// Its columns by name as one JSON object, and the progress of its run.
[[nodiscard]] std::string json_of(const TaskRecord& task);
[[nodiscard]] std::string json_of(const TaskRecord& task, const std::optional<Progress>& progress);
/// Everything about it to standard output, a line each.
void print_task(const TaskRecord& task, const std::optional<Progress>& progress);
/// Such as `[#########-----------]  47 %  47/100  note`, or without the total `47  note`.
[[nodiscard]] std::string bar(const Progress& progress);

}  // namespace millrace::cli
