#include "report.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>

namespace millrace::bench {

void progress(const std::string& line) { fmt::print(stderr, "  {}\n", line); }

void report(bool json, const nlohmann::ordered_json& line) {
  if (json) {
    fmt::print("{}\n", line.dump());
  } else {
    std::string text;
    for (const auto& [key, value] : line.items()) {
      if (key == "scenario" || key == "system") text += fmt::format("{:<10} ", value.get<std::string>());
      else if (key != "rounds") text += fmt::format(" {} {}", key, value.is_number_float() ? fmt::format("{:.3g}", value.get<double>()) : value.dump());
    }
    fmt::print("{}\n", text);
  }
  std::fflush(stdout);
}

}  // namespace millrace::bench
