// JSON Schema, for the args and results of tasks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/error.hpp>

namespace millrace {

/// A JSON Schema of draft 7. Immutable and thread-safe; copies share what was read. References ($ref) work within the schema;
/// to other documents they are refused, as are those that lead back to the same value, and `id` or `%` beside them. Patterns are
/// ECMAScript's; where a schema has any, or a `format` of date or time, texts of more than 4096 bytes do not fit, nor
/// arrays of more than 1000 where it has `uniqueItems`. Documents have at most
/// limits::nesting_max levels. docs/definitions.md tells why.
class JsonSchema {
 public:
  /// Throws InvalidArgument("schema") if `text` is no JSON object, or no schema.
  explicit JsonSchema(std::string_view text);

  /// What is wrong with this JSON text, with the path to it, such as `/items/3/price: …`; none if it fits.
  [[nodiscard]] std::optional<std::string> problem(std::string_view json) const;
  /// Throws InvalidArgument(field) with the problem, if there is one.
  void check(const char* field, std::string_view json) const {
    if (const auto found = problem(json)) throw InvalidArgument(field, "do not fit the schema: " + *found);
  }
  /// The schema's JSON text, as it was given.
  [[nodiscard]] const std::string& text() const noexcept;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace millrace
