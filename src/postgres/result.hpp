// What comes out of a statement.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/types.hpp>

namespace pqxx {
class result;
}

namespace millrace::postgres {

/// Rows of text, shared and immutable: a string_view into it lives as long as any copy of the Result.
class Result {
 public:
  Result();
  explicit Result(std::shared_ptr<const pqxx::result> rows);
  ~Result();
  Result(const Result&);
  Result& operator=(const Result&);
  Result(Result&&) noexcept;
  Result& operator=(Result&&) noexcept;

  [[nodiscard]] int size() const noexcept;
  [[nodiscard]] int columns() const noexcept;
  [[nodiscard]] std::string_view column_name(int column) const;
  [[nodiscard]] std::int64_t affected() const noexcept;
  [[nodiscard]] bool is_null(int row, int column) const noexcept;
  /// The field's text; empty for null.
  [[nodiscard]] std::string_view text(int row, int column) const noexcept;
  [[nodiscard]] std::optional<std::string> maybe_text(int row, int column) const;
  /// The field as a number; 0 for null. Throws std::logic_error if it is none.
  [[nodiscard]] std::int64_t integer(int row, int column) const;
  [[nodiscard]] bool boolean(int row, int column) const noexcept;
  /// The field as a time; none for null.
  [[nodiscard]] std::optional<Time> time(int row, int column) const;

 private:
  std::shared_ptr<const pqxx::result> rows_;
};

}  // namespace millrace::postgres
