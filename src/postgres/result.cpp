#include "postgres/result.hpp"

#include "base/time_text.hpp"

#include <pqxx/pqxx>

#include <charconv>
#include <stdexcept>

namespace millrace::postgres {

Result::Result() = default;
Result::Result(std::shared_ptr<const pqxx::result> rows) : rows_(std::move(rows)) {}
Result::~Result() = default;
Result::Result(const Result&) = default;
Result& Result::operator=(const Result&) = default;
Result::Result(Result&&) noexcept = default;
Result& Result::operator=(Result&&) noexcept = default;

namespace {
pqxx::field at(const pqxx::result& rows, int row, int column) {
  return rows[static_cast<pqxx::result::size_type>(row)][static_cast<pqxx::row::size_type>(column)];
}
}  // namespace

int Result::size() const noexcept { return rows_ ? static_cast<int>(rows_->size()) : 0; }
int Result::columns() const noexcept { return rows_ ? static_cast<int>(rows_->columns()) : 0; }
std::string_view Result::column_name(int column) const { return rows_->column_name(static_cast<pqxx::row::size_type>(column)); }
std::int64_t Result::affected() const noexcept { return rows_ ? static_cast<std::int64_t>(rows_->affected_rows()) : 0; }

bool Result::is_null(int row, int column) const noexcept { return at(*rows_, row, column).is_null(); }

std::string_view Result::text(int row, int column) const noexcept {
  const auto field = at(*rows_, row, column);
  return {field.c_str(), static_cast<std::size_t>(field.size())};
}

std::optional<std::string> Result::maybe_text(int row, int column) const {
  if (is_null(row, column)) return {};
  return std::string(text(row, column));
}

std::int64_t Result::integer(int row, int column) const {
  const std::string_view digits = text(row, column);
  if (digits.empty()) return 0;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) throw std::logic_error("column is no integer");
  return value;
}

bool Result::boolean(int row, int column) const noexcept { return text(row, column) == "t"; }

std::optional<Time> Result::time(int row, int column) const { return base::parse_time(text(row, column)); }

}  // namespace millrace::postgres
