// Columns that align.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::cli {

/// The text for a terminal: what could command it (control characters, but no tabs, and no line ends in a text of `lines`)
/// becomes a question mark. What programs wrote to their standard error ends up here.
[[nodiscard]] std::string printable(std::string_view text, bool lines = false);

class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row);
  /// To standard output; the header is bold on a terminal.
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace millrace::cli
