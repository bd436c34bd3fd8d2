// Text that comes from outside and goes into the database.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace millrace::base {

/// Whether `text` is well-formed UTF-8 (no surrogates, nothing overlong).
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

/// `text` as PostgreSQL can store it: every malformed byte and every NUL becomes U+FFFD, and at most
/// `characters_max` characters are kept; a cut is marked by a final U+2026.
[[nodiscard]] std::string storable(std::string_view text, std::size_t characters_max);

/// Throws InvalidArgument(field) unless `text` has 1 to `bytes_max` bytes of UTF-8 without NUL.
void check_name(const char* field, std::string_view text, std::size_t bytes_max);

/// Throws InvalidArgument("schema") unless `name` can be a Millrace schema: 1 to 63 bytes, not pg_…, not $user.
void check_schema_name(std::string_view name);

/// Whether `text` is a W3C trace context (version-trace-parent-flags) with ids that are not all zeros.
[[nodiscard]] bool is_traceparent(std::string_view text) noexcept;

/// `text` in double quotes as an SQL identifier, or in single quotes as a literal (standard_conforming_strings).
[[nodiscard]] std::string quote_identifier(std::string_view text);
[[nodiscard]] std::string quote_literal(std::string_view text);

}  // namespace millrace::base
