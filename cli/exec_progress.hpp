// How a program tells its progress: a line on its standard error, "millrace: progress 3/10 a note".
#pragma once

#include <string>
#include <string_view>

#include <millrace/context.hpp>

namespace millrace::cli {

/// Takes what a program said on its standard error, whole lines: progress is reported, everything else is logged.
void report_lines(Context& context, std::string_view lines);

/// What is left of `text` without the lines that tell progress.
[[nodiscard]] std::string without_progress(std::string_view text);

}  // namespace millrace::cli
