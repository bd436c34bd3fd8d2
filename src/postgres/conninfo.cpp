#include "postgres/conninfo.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <memory>

namespace millrace::postgres {
namespace {

std::string quoted_value(const std::string& value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out += '\'';
}

}  // namespace

std::map<std::string, std::string> parse(const ConnectionString& url) {
  std::map<std::string, std::string> values;
  if (url.reveal().find('\0') != std::string::npos) throw InvalidArgument("database", "holds a NUL character");
  char* complaint = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(PQconninfoParse(url.reveal().c_str(), &complaint),
                                                                             &PQconninfoFree);
  PQfreemem(complaint);  // it quotes the string, password and all
  if (!options) {
    throw InvalidArgument(
        "database", "is no connection string that libpq understands, such as postgresql://user@host:5432/name or \"host=… dbname=…\"");
  }
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) values.emplace(option->keyword, option->val);
  }
  return values;
}

std::string keywords(const ConnectionString& url, const std::map<std::string, std::string>& defaults) {
  std::map<std::string, std::string> values = parse(url);
  values.insert(defaults.begin(), defaults.end());
  std::string out;
  for (const auto& [keyword, value] : values) out += fmt::format("{}{}={}", out.empty() ? "" : " ", keyword, quoted_value(value));
  return out;
}

}  // namespace millrace::postgres

namespace millrace {

std::string ConnectionString::redacted() const {
  if (text_.empty()) return "the default server";
  try {
    const auto values = postgres::parse(*this);
    std::string out;
    for (const char* keyword : {"host", "hostaddr", "port", "dbname", "user", "service"}) {
      if (const auto found = values.find(keyword); found != values.end()) {
        out += fmt::format("{}{}={}", out.empty() ? "" : " ", keyword, found->second);
      }
    }
    return out.empty() ? "the default server" : out;
  } catch (const InvalidArgument&) {
    return "an unreadable connection string";
  }
}

}  // namespace millrace
