// How a benchmark says what it found: JSON lines, or a line for people.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace millrace::bench {

/// Progress, on standard error so that it never mixes with figures.
void progress(const std::string& line);
/// One measured system.
void report(bool json, const nlohmann::ordered_json& line);

}  // namespace millrace::bench
