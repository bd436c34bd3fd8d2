// What enqueue refuses: one line, exit code 2, no row.
#include "cli/command.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace millrace::test;

namespace {

struct Bad {
  std::string what;
  Words arguments;
  std::string said{};
  std::string input{};
};

void check_all(const std::vector<Bad>& cases) {
  Schema schema;
  for (const Bad& one : cases) {
    CAPTURE(one.what);
    Words words{"enqueue"};
    words.insert(words.end(), one.arguments.begin(), one.arguments.end());
    check_refused(run(schema, words, {.input = one.input}), 2, one.said);
    CHECK(schema.number("SELECT count(*) FROM tasks") == 0);
  }
}

std::string nested(int levels) {
  const auto count = static_cast<std::size_t>(levels);
  return R"({"a": )" + std::string(count, '[') + std::string(count, ']') + "}";
}

std::string text_of(std::size_t bytes) { return R"({"a": ")" + std::string(bytes, 'x') + R"("})"; }

}  // namespace

TEST_CASE("enqueue refuses args that are no JSON object") {
  using namespace std::string_literals;
  check_all({
      {"an empty text", {"greet", ""}, "args"},
      {"an empty input", {"greet", "-"}, "args"},
      {"broken JSON", {"greet", "{\"a\": }"}, "args is not valid JSON at byte 7"},
      {"two documents", {"greet", "{} {}"}, "args is not valid JSON"},
      {"a trailing comma", {"greet", "{\"a\": 1,}"}, "args is not valid JSON"},
      {"an array", {"greet", "[1]"}, "args must be a JSON object"},
      {"a word", {"greet", "null"}, "args must be a JSON object"},
      {"not a number", {"greet", "{\"a\": NaN}"}, "args is not valid JSON"},
      {"bad UTF-8", {"greet", "{\"a\": \"\xff\"}"}, "args is not valid UTF-8"},
      {"bad UTF-8 from standard input", {"greet", "-"}, "args is not valid UTF-8", "{\"a\": \"\xc3\"}"},
      {"an encoded NUL", {"greet", "{\"a\": \"\\u0000\"}"}, "PostgreSQL cannot store"},
      {"a NUL", {"greet", "-"}, "args holds a NUL character", "{\"a\": \"\0\"}"s},
      {"a NUL after the end", {"greet", "-"}, "args holds a NUL character", "{}\0"s},
      {"a lone surrogate", {"greet", "{\"a\": \"\\ud800\"}"}, "args is not valid JSON"},
  });
}

TEST_CASE("enqueue refuses args that are too deep or too large") {
  check_all({
      {"129 levels", {"greet", nested(128)}, "args is nested more than 128 levels deep"},
      {"a hundred thousand levels", {"greet", "-"}, "args is nested more than 128 levels deep", nested(100'000)},
      {"a hundred thousand levels, never closed", {"greet", "-"}, "args", std::string(100'000, '[')},
      {"over the default limit", {"greet", "-"}, "args has 1048586 bytes; allowed are 1048576", text_of(1'048'577)},
      {"a number that is too long", {"greet", "-"}, "", R"({"a": 1e)" + std::string(200, '9') + "}"},
  });
}

TEST_CASE("enqueue takes args that are just within the limits") {
  Schema schema;
  enqueue(schema, {"greet", nested(127)});
  enqueue(schema, {"greet", "-"}, {.input = text_of(1'048'567)});
  CHECK(schema.number("SELECT octet_length(args::text) FROM tasks ORDER BY id DESC LIMIT 1") == 1'048'576);
}

TEST_CASE("enqueue refuses options out of range") {
  check_all({
      {"priority 101", {"greet", "--priority", "101"}, "priority is 101; allowed is 0 to 100"},
      {"priority -1", {"greet", "--priority", "-1"}, "priority is -1"},
      {"a priority of another name", {"greet", "--priority", "urgent"}, "priority is \"urgent\""},
      {"a huge priority", {"greet", "--priority", "99999999999"}, "priority"},
      {"no attempts", {"greet", "--max-attempts", "0"}, "attempts"},
      {"no attempts, with another spelling", {"greet", "--max-attempts", "00"}, "attempts"},
      {"too many attempts", {"greet", "--max-attempts", "1001"}, "--max-attempts is 1001; allowed is 1 to 1000"},
      {"more attempts than 32 bits hold",
       {"greet", "--max-attempts", "99999999999"},
       "--max-attempts is 99999999999; allowed is 1 to 1000"},
      {"attempts that are no number", {"greet", "--max-attempts", "many"}, "max-attempts"},
      {"a kind without a character", {""}, "kind has 0 bytes"},
      {"a long kind", {std::string(129, 'k')}, "kind has 129 bytes"},
      {"a kind that is no UTF-8", {"\xff"}, "kind is not valid UTF-8"},
      {"a long queue", {"greet", "--queue", std::string(129, 'q')}, "queue has 129 bytes"},
      {"a timeout of nothing", {"greet", "--timeout", "0s"}, "timeout is 0 ms"},
      {"a timeout over a year", {"greet", "--timeout", "366d"}, "timeout is"},
      {"a retry policy of another name", {"greet", "--retry", "soon(1s)"}, "--retry"},
      {"a retry policy without its cap", {"greet", "--retry", "linear(1s)"}, "--retry"},
  });
}

TEST_CASE("enqueue refuses times that nobody can keep") {
  check_all({
      {"a negative delay", {"greet", "--delay", "-5s"}, "--delay is \"-5s\""},
      {"a delay without a unit", {"greet", "--delay", "5"}, "--delay is \"5\""},
      {"a delay over a hundred years", {"greet", "--delay", "40000d"}, "delay is"},
      {"a delay that no clock holds", {"greet", "--delay", "99999999999999999999d"}, "--delay"},
      {"a delay that overflows", {"greet", "--delay", "9223372036854775807ms1ms"}, "--delay"},
      {"the year 294277", {"greet", "--at", "294277-01-01T00:00:00Z"}, "--at is outside the years 1970 to 9999"},
      {"the year 10000", {"greet", "--at", "10000-01-01T00:00:00Z"}, "--at"},
      {"before 1970", {"greet", "--at", "1969-12-31T23:59:59Z"}, "--at"},
      {"the 30th of February", {"greet", "--at", "2099-02-30T00:00:00Z"}, "--at is"},
      {"a time of no zone", {"greet", "--at", "2099-02-01T00:00:00"}, "--at is"},
      {"infinity", {"greet", "--at", "infinity"}, "--at is \"infinity\""},
      {"a delay and a time", {"greet", "--delay", "5s", "--at", "2099-02-01T00:00:00Z"}, "cannot be given together"},
  });
}

TEST_CASE("an option that was given nothing is refused, not forgotten") {
  // A script's variable that is not set must not turn "tomorrow" into "at once".
  check_all({
      {"--at", {"greet", "--at", ""}, "--at"},
      {"--delay", {"greet", "--delay", ""}, "--delay"},
      {"--queue", {"greet", "--queue", ""}, "queue"},
      {"--priority", {"greet", "--priority", ""}, "priority"},
      {"--timeout", {"greet", "--timeout", ""}, "--timeout"},
      {"--retry", {"greet", "--retry", ""}, "--retry"},
      {"--max-attempts", {"greet", "--max-attempts", ""}, "max-attempts"},
  });
}

TEST_CASE("enqueue refuses what it does not know") {
  check_all({
      {"no kind", {}, "kind is required"},
      {"an unknown option", {"greet", "{}", "--colour", "red"}, "--colour"},
      {"one word too many", {"greet", "{}", "more"}, "more"},
      {"args and lines of args", {"greet", "{}", "--lines"}, "--lines", "{}"},
      {"an option without its value", {"greet", "--queue"}, "--queue"},
  });
}

TEST_CASE("a refusal stays one line, whatever it quotes") {
  check_all({{"a line break", {"greet", "--delay", "5s\nmillrace: all is well"}, "--delay"},
             {"a terminal's escape", {"greet", "--priority", "\x1b[2J"}, "priority"}});
  CHECK(run_plain({"enqueue", "greet", "--priority", "\x1b[2J"}).err.find('\x1b') == std::string::npos);
}
