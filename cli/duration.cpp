#include "cli/duration.hpp"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <vector>

namespace millrace::cli {

Milliseconds parse_duration(const char* option, std::string_view text) {
  const auto refuse = [&] {
    throw InvalidArgument(option, fmt::format("is \"{}\"; allowed are durations such as 500ms, 30s, 5m, 2h, 1d or 1h30m", text));
  };
  std::int64_t total = 0;
  std::string_view rest = text;
  if (rest.empty()) refuse();
  while (!rest.empty()) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc{} || number < 0) refuse();
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    std::int64_t unit = 0;
    if (rest.starts_with("ms")) {
      unit = 1;
      rest.remove_prefix(1);
    } else if (rest.starts_with('s')) {
      unit = 1000;
    } else if (rest.starts_with('m')) {
      unit = 60'000;
    } else if (rest.starts_with('h')) {
      unit = 3'600'000;
    } else if (rest.starts_with('d')) {
      unit = 86'400'000;
    } else {
      refuse();
    }
    rest.remove_prefix(1);
    std::int64_t part = 0;
    if (__builtin_mul_overflow(number, unit, &part) || __builtin_add_overflow(total, part, &total)) refuse();
  }
  return Milliseconds(total);
}

std::string format_duration(Milliseconds duration) {
  std::string text;
  std::int64_t left = duration.count();
  for (const auto& [unit, size] :
       {std::pair("d", 86'400'000), std::pair("h", 3'600'000), std::pair("m", 60'000), std::pair("s", 1000), std::pair("ms", 1)}) {
    if (left >= size) text += fmt::format("{}{}", left / size, unit);
    left %= size;
  }
  return text.empty() ? "0s" : text;
}

Backoff parse_backoff(std::string_view text) {
  const auto refuse = [&] {
    throw InvalidArgument("--retry", fmt::format("is \"{}\"; allowed are exponential(1s,60s), linear(1s,60s) and fixed(5s)", text));
  };
  const std::size_t open = text.find('(');
  if (open == std::string_view::npos || !text.ends_with(')')) refuse();
  const std::string_view name = text.substr(0, open);
  std::vector<Milliseconds> durations;
  std::string_view rest = text.substr(open + 1, text.size() - open - 2);
  for (;;) {
    const std::size_t comma = rest.find(',');
    try {
      durations.push_back(parse_duration("--retry", rest.substr(0, comma)));
    } catch (const InvalidArgument&) {
      refuse();
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (name == "fixed" && durations.size() == 1) return fixed(durations[0]);
  if (name == "linear" && durations.size() == 2) return linear(durations[0], durations[1]);
  if (name != "exponential" || durations.size() != 2) refuse();
  return exponential(durations[0], durations[1]);
}

namespace {

template <class Number>
Number number_of(const char* field, std::string_view text, Number lowest, Number highest) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = end == text.data() + text.size();
  const bool too_large = error == std::errc::result_out_of_range;
  if ((error != std::errc{} && !too_large) || !whole)
    throw InvalidArgument(field, fmt::format("is \"{}\"; allowed are whole numbers", text));
  if (too_large || value < lowest || value > highest)
    throw InvalidArgument(field, fmt::format("is {}; allowed is {} to {}", text, lowest, highest));
  return value;
}

}  // namespace

std::int64_t parse_integer(const char* field, std::string_view text) {
  return number_of<std::int64_t>(field, text, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max());
}
int parse_int(const char* field, std::string_view text, int lowest, int highest) { return number_of(field, text, lowest, highest); }

Priority parse_priority(std::string_view text) {
  if (text == "critical") return Priority::critical;
  if (text == "high") return Priority::high;
  if (text == "normal") return Priority::normal;
  if (text == "low") return Priority::low;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw InvalidArgument("priority", fmt::format("is \"{}\"; allowed is 0 to 100, or critical, high, normal, low", text));
  }
  return Priority(value);
}

}  // namespace millrace::cli
