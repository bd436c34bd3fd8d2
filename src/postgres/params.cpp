#include "postgres/params.hpp"

namespace millrace::postgres {

void ArrayText::text(std::string_view value) {
  separate();
  text_ += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') text_ += '\\';
    text_ += c;
  }
  text_ += '"';
}

}  // namespace millrace::postgres
