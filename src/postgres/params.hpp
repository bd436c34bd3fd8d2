// What goes into a statement: parameters, and array texts to pass as one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::postgres {

/// The parameters $1, $2, … of one statement, as text. Texts must hold no NUL: libpq would cut them silently.
class Params {
 public:
  Params& text(std::string value) { return push(std::move(value)); }
  Params& integer(std::int64_t value) { return push(std::to_string(value)); }
  Params& boolean(bool value) { return push(value ? "t" : "f"); }
  Params& null() {
    values_.emplace_back();
    return *this;
  }
  Params& maybe(std::optional<std::string> value) {
    values_.push_back(std::move(value));
    return *this;
  }
  [[nodiscard]] const std::vector<std::optional<std::string>>& values() const noexcept { return values_; }

 private:
  Params& push(std::string value) {
    values_.emplace_back(std::move(value));
    return *this;
  }
  std::vector<std::optional<std::string>> values_;
};

/// The text of a one-dimensional array, built element by element.
class ArrayText {
 public:
  void integer(std::int64_t value) {
    separate();
    text_ += std::to_string(value);
  }
  void null() {
    separate();
    text_ += "NULL";
  }
  void boolean(bool value) {
    separate();
    text_ += value ? 't' : 'f';
  }
  /// Any text, quoted and escaped.
  void text(std::string_view value);
  void reserve(std::size_t bytes) { text_.reserve(bytes); }
  [[nodiscard]] std::size_t bytes() const noexcept { return text_.size(); }
  [[nodiscard]] std::string take() && { return std::move(text_ += '}'); }

 private:
  void separate() {
    if (text_.size() > 1) text_ += ',';
  }
  std::string text_ = "{";
};

}  // namespace millrace::postgres
