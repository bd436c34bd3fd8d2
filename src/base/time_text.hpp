// Times as PostgreSQL writes them.
#pragma once

#include <millrace/types.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace millrace::base {

/// A timestamptz in ISO style (`2026-11-20 22:40:13.804911+00`, or with T), whatever its offset; none if it is none or infinite.
[[nodiscard]] std::optional<Time> parse_time(std::string_view text) noexcept;
/// The same time as `2026-11-20T22:40:13.804911Z`.
[[nodiscard]] std::string format_time(Time time);

}  // namespace millrace::base
