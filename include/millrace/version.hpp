// The version of the headers; version() is that of the library that was linked.
#pragma once

#include <string_view>

#define MILLRACE_VERSION "0.1.0-dev"

namespace millrace {
[[nodiscard]] std::string_view version() noexcept;
}  // namespace millrace
