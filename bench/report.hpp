// What a scenario found: one line per measured system, as JSON or for people.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace millrace::bench {

using Json = nlohmann::ordered_json;

struct Options {
  int tasks = 0;
  int rounds = 0;
  int args_bytes = 0;  // drain only; 0: about 50, as in every other scenario
  bool json = false;
};

/// The middle value, or the mean of the two in the middle. `values` must not be empty.
[[nodiscard]] double median(std::vector<double> values);
/// The smallest value that `share` (0 to 1) of all values do not exceed.
[[nodiscard]] double quantile(std::vector<double> values, double share);
/// Each of `ours` divided by the one of the same round.
[[nodiscard]] std::vector<double> ratios(const std::vector<double>& ours, const std::vector<double>& theirs);
/// `value` to so many digits after the point, as a number.
[[nodiscard]] double rounded(double value, int digits);
[[nodiscard]] std::vector<double> rounded(const std::vector<double>& values, int digits);

/// Tells on standard error what goes on.
void progress(const std::string& text);

/// Prints the lines on standard output: one JSON object each, or an aligned table.
void print(const std::vector<Json>& lines, bool json);

}  // namespace millrace::bench
