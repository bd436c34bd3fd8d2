#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace millrace::bench {
namespace {

std::string shown(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  if (!value.is_array()) return value.dump();
  std::string out;
  for (const Json& one : value) out += (out.empty() ? "" : " ") + shown(one);
  return out;
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::clamp<std::size_t>(rank, 1, values.size()) - 1];
}

std::vector<double> ratios(const std::vector<double>& ours, const std::vector<double>& theirs) {
  std::vector<double> out;
  for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) out.push_back(ours[i] / theirs[i]);
  return out;
}

double rounded(double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

std::vector<double> rounded(const std::vector<double>& values, int digits) {
  std::vector<double> out;
  for (const double value : values) out.push_back(rounded(value, digits));
  return out;
}

void progress(const std::string& text) {
  fmt::print(stderr, "{}\n", text);
  std::fflush(stderr);
}

void print(const std::vector<Json>& lines, bool json) {
  if (json) {
    for (const Json& line : lines) fmt::print("{}\n", line.dump());
    std::fflush(stdout);
    return;
  }
  for (const Json& line : lines) {
    fmt::print("{} {}\n", shown(line.at("scenario")), shown(line.at("system")));
    for (const auto& [name, value] : line.items()) {
      if (name != "scenario" && name != "system") fmt::print("  {:<20} {}\n", name, shown(value));
    }
  }
  std::fflush(stdout);
}

}  // namespace millrace::bench
