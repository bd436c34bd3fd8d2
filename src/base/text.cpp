#include "base/text.hpp"

#include <millrace/error.hpp>
#include <millrace/limits.hpp>

#include <cstdint>

namespace millrace::base {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";
constexpr std::string_view ellipsis = "\xE2\x80\xA6";

// The length of the well-formed sequence at the front of `text`, or 0. Table 3-7 of the Unicode standard.
std::size_t sequence_length(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < text.size() && at(i) >= low && at(i) <= high;
  };
  const unsigned lead = at(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : 0xBF;
    return tail(1, low, high) && tail(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
    return tail(1, low, high) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string storable(std::string_view text, std::size_t characters_max) {
  std::string out;
  std::size_t last_start = 0;
  for (std::size_t characters = 0; !text.empty(); ++characters) {
    if (characters == characters_max) {
      out.resize(last_start);
      out += ellipsis;
      break;
    }
    last_start = out.size();
    const std::size_t length = sequence_length(text);
    if (length == 0 || text.front() == '\0') {
      out += replacement;
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

void check_name(const char* field, std::string_view text, std::size_t bytes_max) {
  if (text.empty() || text.size() > bytes_max) {
    throw InvalidArgument(field, "has " + std::to_string(text.size()) + " bytes; allowed are 1 to " + std::to_string(bytes_max));
  }
  if (text.find('\0') != std::string_view::npos) throw InvalidArgument(field, "holds a NUL character");
  if (!is_utf8(text)) throw InvalidArgument(field, "is not valid UTF-8");
}

void check_schema_name(std::string_view name) {
  check_name("schema", name, limits::schema_bytes_max);
  if (name.starts_with("pg_")) throw InvalidArgument("schema", "starts with pg_, which PostgreSQL reserves");
  if (name == "$user") throw InvalidArgument("schema", "is $user, which stands for another name in a search_path");
}

namespace {
std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out += quote;
    out += c;
  }
  return out += quote;
}
}  // namespace

std::string quote_identifier(std::string_view text) { return quoted(text, '"'); }
std::string quote_literal(std::string_view text) { return quoted(text, '\''); }

bool is_traceparent(std::string_view text) noexcept {
  constexpr std::string_view shape = "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
  if (text.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (shape[i] == '-' ? c != '-' : !hex) return false;
  }
  const auto zeros = [](std::string_view part) { return part.find_first_not_of('0') == std::string_view::npos; };
  return text.substr(0, 2) != "ff" && !zeros(text.substr(3, 32)) && !zeros(text.substr(36, 16));
}

}  // namespace millrace::base
