// Columns that align.
#pragma once

#include <string>
#include <vector>

namespace millrace::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// To standard output; the header is bold on a terminal.
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace millrace::cli
