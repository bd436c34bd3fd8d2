// `millrace bench`: what the queue does on this machine, side by side with the ceiling it is held to.
#pragma once

#include <functional>

#include <millrace/types.hpp>

namespace CLI {
class App;
}

namespace millrace::bench {

/// Adds the bench commands to `parent`. `database` and `json` are asked when a command runs.
void add_commands(CLI::App& parent, std::function<ConnectionString()> database, const bool* json);

}  // namespace millrace::bench
