// JSON as text: what must be known about it before anybody builds a tree from it.
#pragma once

#include <string_view>

namespace millrace::base {

/// Throws InvalidArgument(field) unless `text` is one JSON value that PostgreSQL's jsonb can store: well-formed, at most
/// limits::nesting_max levels (counted before anything is built), at most limits::json_bytes_max bytes, UTF-8, without
/// \u0000. With `object`, the value must be an object.
void check_json(const char* field, std::string_view text, bool object);

/// Whether `text` is such a value.
[[nodiscard]] bool is_json(std::string_view text) noexcept;

}  // namespace millrace::base
