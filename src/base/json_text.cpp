#include "base/json_text.hpp"

#include "base/text.hpp"

#include <millrace/error.hpp>
#include <millrace/limits.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

namespace millrace::base {
namespace {

// The parser recurses nowhere when it only accepts, but a tree of 10^5 levels crashes when it is copied: count first.
int deepest(std::string_view text) noexcept {
  int depth = 0;
  int most = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      most = std::max(most, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return most;
}

// Accepts what JSON's grammar does and remembers why not. Numbers are not converted to anything that could overflow.
class Checker final : public nlohmann::json::json_sax_t {
 public:
  std::string problem{};
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t& text) override { return no_nul(text); }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t& text) override { return no_nul(text); }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // out_of_range.406 is a number beyond double, which jsonb stores exactly: the caller looks again without it.
    beyond_double = error.id == 406;
    problem = "is not valid JSON at byte " + std::to_string(position);
    return false;
  }
  bool beyond_double = false;

 private:
  bool no_nul(const std::string& text) {
    if (text.find('\0') == std::string::npos) return true;
    problem = "holds \\u0000, which PostgreSQL cannot store";
    return false;
  }
};

// jsonb keeps numbers as numeric; what a double cannot hold is still a number. The digits of every exponent are
// blanked, so that only the grammar is checked.
std::string without_exponents(std::string_view text) {
  std::string out(text);
  bool in_string = false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const char c = out[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if ((c == 'e' || c == 'E') && i > 0 && out[i - 1] >= '0' && out[i - 1] <= '9') {
      std::size_t j = i + 1;
      if (j < out.size() && (out[j] == '+' || out[j] == '-')) ++j;
      for (; j < out.size() && out[j] >= '0' && out[j] <= '9'; ++j) out[j] = '0';
      i = j - 1;
    }
  }
  return out;
}

std::string problem_of(std::string_view text, bool object) {
  if (text.size() > limits::json_bytes_max) {
    return "has " + std::to_string(text.size()) + " bytes; allowed are " + std::to_string(limits::json_bytes_max);
  }
  if (text.find('\0') != std::string_view::npos) return "holds a NUL character";
  if (!is_utf8(text)) return "is not valid UTF-8";
  if (deepest(text) > limits::nesting_max) return "is nested more than " + std::to_string(limits::nesting_max) + " levels deep";
  Checker checker;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &checker)) {
    if (!checker.beyond_double) return checker.problem;
    const std::string plain = without_exponents(text);
    Checker again;
    if (!nlohmann::json::sax_parse(plain.begin(), plain.end(), &again)) return again.problem;
  }
  if (object) {
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (text[first] != '{') return "must be a JSON object";
  }
  return {};
}

}  // namespace

void check_json(const char* field, std::string_view text, bool object) {
  if (std::string problem = problem_of(text, object); !problem.empty()) throw InvalidArgument(field, problem);
}

bool is_json(std::string_view text) noexcept {
  try {
    return problem_of(text, false).empty();
  } catch (...) {
    return false;
  }
}

}  // namespace millrace::base
