// Options that say which tasks are meant.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <millrace/manage.hpp>

#include "cli/app.hpp"

namespace millrace::cli {

/// What was typed. Times are times, or how long ago by the database's clock, such as 2h.
struct FilterWords {
  std::vector<std::string> status{}, tags{};
  std::optional<std::string> queue{}, kind{}, tenant{}, correlation{};
  std::optional<std::string> created_from{}, created_until{}, finished_from{}, finished_until{}, dead_from{}, dead_until{};
};

/// The options of a filter; for dead letters all but those that tell nothing there.
void add_filter_options(CLI::App& command, FilterWords& words, bool dead_letters = false);

/// Whether any of them was given.
[[nodiscard]] bool says_anything(const FilterWords& words);
/// The filter that they mean. Throws InvalidArgument. Asks the database for its time if a time is given as how long ago.
[[nodiscard]] TaskFilter filter_of(const Globals& globals, const FilterWords& words);
/// So long before the database's now.
[[nodiscard]] Time time_before(const Globals& globals, const char* option, const std::string& text);
/// A time, or so long before the database's now.
[[nodiscard]] Time moment_of(const Globals& globals, const char* option, const std::string& text);
/// The database's now.
[[nodiscard]] Time database_now(const Globals& globals);

}  // namespace millrace::cli
