// Durations and numbers as people write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/types.hpp>

namespace millrace::cli {

/// `500ms`, `30s`, `5m`, `2h`, `1d`, `1h30m`. Throws InvalidArgument(option).
[[nodiscard]] Milliseconds parse_duration(const char* option, std::string_view text);

/// The same, for people: `1h30m`; `0s` for none.
[[nodiscard]] std::string format_duration(Milliseconds duration);

/// `exponential(1s,60s)`, `linear(1s,60s)` or `fixed(5s)`. Throws InvalidArgument("--retry").
[[nodiscard]] Backoff parse_backoff(std::string_view text);

/// Decimal digits, after a minus perhaps. Throws InvalidArgument(field), also for what 64 bits cannot hold.
[[nodiscard]] std::int64_t parse_integer(const char* field, std::string_view text);
/// The same for a number from `lowest` to `highest`.
[[nodiscard]] int parse_int(const char* field, std::string_view text, int lowest, int highest);

/// 0 to 100, or critical, high, normal, low. Throws InvalidArgument("priority").
[[nodiscard]] Priority parse_priority(std::string_view text);

}  // namespace millrace::cli
