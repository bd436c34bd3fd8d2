#include "migrate/sql_text.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace millrace::migrate {
namespace {

constexpr std::string_view schema_token = ":\"schema\"";

// PostgreSQL takes every byte above 127 for a letter.
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) > 127; }
bool is_word(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '$'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

std::size_t after(std::string_view sql, std::string_view what, std::size_t from) {
  const std::size_t found = sql.find(what, from);
  return found == std::string_view::npos ? sql.size() : found + what.size();
}

// A doubled quote mark inside looks like the end of one string and the start of the next, which comes to the same.
std::size_t after_quoted(std::string_view sql, std::size_t at, bool backslashes) {
  const char quote = sql[at];
  for (++at; at < sql.size(); ++at) {
    if (backslashes && sql[at] == '\\') {
      ++at;
    } else if (sql[at] == quote) {
      return at + 1;
    }
  }
  return sql.size();
}

std::size_t after_block_comment(std::string_view sql, std::size_t at) {
  int depth = 0;
  while (at < sql.size()) {
    if (sql.substr(at, 2) == "/*") {
      ++depth;
      at += 2;
    } else if (sql.substr(at, 2) == "*/") {
      at += 2;
      if (--depth == 0) return at;
    } else {
      ++at;
    }
  }
  return sql.size();
}

// `at` is at a dollar: the end of the dollar-quoted text, or of the dollar if none starts here.
std::size_t after_dollar_quoted(std::string_view sql, std::size_t at) {
  std::size_t end = at + 1;
  if (end < sql.size() && is_letter(sql[end])) {
    while (end < sql.size() && is_word(sql[end]) && sql[end] != '$') ++end;
  }
  if (end == sql.size() || sql[end] != '$') return at + 1;
  const std::string_view tag = sql.substr(at, end + 1 - at);
  return after(sql, tag, end + 1);
}

enum class Kind { blank, comment, quoted, word, token, mark };

struct Piece {
  Kind kind;
  std::size_t end;
};

// The lexical piece that starts at `at`, which is inside `sql`.
Piece piece_at(std::string_view sql, std::size_t at) {
  const char c = sql[at];
  if (is_blank(c)) return {Kind::blank, at + 1};
  if (sql.substr(at, 2) == "--") return {Kind::comment, after(sql, "\n", at)};
  if (sql.substr(at, 2) == "/*") return {Kind::comment, after_block_comment(sql, at)};
  if (sql.substr(at, schema_token.size()) == schema_token) return {Kind::token, at + schema_token.size()};
  if (c == '"' || c == '\'') return {Kind::quoted, after_quoted(sql, at, false)};
  if ((c == 'e' || c == 'E') && sql.substr(at + 1, 1) == "'") return {Kind::quoted, after_quoted(sql, at + 1, true)};
  if (c == '$') return {Kind::quoted, after_dollar_quoted(sql, at)};
  if (is_word(c)) {
    std::size_t end = at;
    while (end < sql.size() && is_word(sql[end])) ++end;
    return {Kind::word, end};
  }
  return {Kind::mark, at + 1};
}

std::string lower(std::string_view word) {
  std::string out(word);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

}  // namespace

std::string fill_schema(std::string_view sql, std::string_view schema) {
  const std::string identifier = base::quote_identifier(schema);
  std::string out;
  for (std::size_t at = 0; at < sql.size();) {
    const Piece piece = piece_at(sql, at);
    out += piece.kind == Kind::token ? std::string_view(identifier) : sql.substr(at, piece.end - at);
    at = piece.end;
  }
  return out;
}

std::vector<std::string> statements(std::string_view sql) {
  std::vector<std::string> all;
  std::size_t start = 0;
  bool empty = true;
  int parentheses = 0;
  int body = 0;  // how deep inside BEGIN ATOMIC … END, counting its CASE … END
  std::string last_word;
  const auto finish = [&](std::size_t end) {
    if (!empty) all.emplace_back(sql.substr(start, end - start));
    start = end + 1;
    empty = true;
    parentheses = body = 0;
    last_word.clear();
  };
  for (std::size_t at = 0; at < sql.size();) {
    const Piece piece = piece_at(sql, at);
    if (piece.kind == Kind::mark && sql[at] == ';' && parentheses == 0 && body == 0) {
      finish(at);
    } else if (piece.kind != Kind::blank && piece.kind != Kind::comment) {
      if (empty) start = at;
      empty = false;
      if (piece.kind == Kind::mark && sql[at] == '(') ++parentheses;
      if (piece.kind == Kind::mark && sql[at] == ')') --parentheses;
      if (piece.kind == Kind::word) {
        std::string word = lower(sql.substr(at, piece.end - at));
        if (word == "atomic" && last_word == "begin") ++body;
        if (body > 0 && word == "case") ++body;
        if (body > 0 && word == "end") --body;
        last_word = std::move(word);
      }
    }
    at = piece.end;
  }
  finish(sql.size());
  return all;
}

}  // namespace millrace::migrate
