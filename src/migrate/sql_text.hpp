// Enough of SQL's lexical rules to fill in the schema's name and to run a file statement by statement.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace::migrate {

/// `sql` with every `:"schema"` replaced by `schema` as a quoted identifier, the way psql does it: not inside quotes,
/// dollar quotes or comments.
[[nodiscard]] std::string fill_schema(std::string_view sql, std::string_view schema);

/// The statements of `sql`, without their final semicolons; those of only blanks and comments are left out. Semicolons
/// inside quotes, dollar quotes, comments, parentheses and BEGIN ATOMIC … END bodies separate nothing.
[[nodiscard]] std::vector<std::string> statements(std::string_view sql);

}  // namespace millrace::migrate
