// The benchmarks: how fast Millrace is, each figure beside the ceiling that it is held to.
#pragma once

#include <functional>

#include <millrace/types.hpp>

namespace CLI {
class App;
}

namespace millrace::bench {

/// Adds the subcommand `bench` with its scenarios to `parent`. `database` is asked for the address when one runs.
void add_commands(CLI::App& parent, std::function<ConnectionString()> database);

}  // namespace millrace::bench
