#include "base/text.hpp"
#include "base/json_text.hpp"
#include "base/time_text.hpp"

#include <millrace/types.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace millrace;

TEST_CASE("UTF-8: what is well-formed and what is not") {
  for (const char* good : {"", "a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF"})
    CHECK(base::is_utf8(good));
  for (const char* bad :
       {"\x80", "\xC0\xAF", "\xC1\x81", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "a\xFF"}) {
    CHECK_FALSE(base::is_utf8(bad));
  }
}

TEST_CASE("storable: bad bytes and NUL become U+FFFD, and a cut is marked") {
  CHECK(base::storable("ok", 10) == "ok");
  CHECK(base::storable(std::string_view("a\0b", 3), 10) ==
        "a\xEF\xBF\xBD"
        "b");
  CHECK(base::storable("\xFF\xFE", 10) == "\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(base::storable("abcdef", 3) == "ab\xE2\x80\xA6");
  CHECK(base::storable("\xC3\xA9\xC3\xA9\xC3\xA9", 2) == "\xC3\xA9\xE2\x80\xA6");
  CHECK(base::is_utf8(base::storable(std::string(1'000'000, '\xE2'), 4096)));
}

TEST_CASE("names are checked by length, NUL and encoding") {
  CHECK_NOTHROW(base::check_name("kind", "a\"; DROP SCHEMA x--", 128));
  CHECK_THROWS_WITH(base::check_name("kind", "", 128), "kind has 0 bytes; allowed are 1 to 128");
  CHECK_THROWS_WITH(base::check_name("kind", std::string(129, 'x'), 128), "kind has 129 bytes; allowed are 1 to 128");
  CHECK_THROWS_AS(base::check_name("kind", std::string_view("a\0b", 3), 128), InvalidArgument);
  CHECK_THROWS_AS(base::check_name("kind", "\xFF", 128), InvalidArgument);
  CHECK_THROWS_AS(base::check_schema_name("pg_x"), InvalidArgument);
  CHECK_THROWS_AS(base::check_schema_name("$user"), InvalidArgument);
  CHECK_THROWS_AS(base::check_schema_name(std::string(64, 's')), InvalidArgument);
  CHECK_NOTHROW(base::check_schema_name(std::string(63, 's')));
}

TEST_CASE("JSON: nesting is counted before anything is built") {
  const auto nested = [](int levels) {
    return std::string(static_cast<std::size_t>(levels), '[') + std::string(static_cast<std::size_t>(levels), ']');
  };
  CHECK(base::is_json(nested(128)));
  CHECK_FALSE(base::is_json(nested(129)));
  CHECK_FALSE(base::is_json(nested(100'000)));
  CHECK_THROWS_WITH(base::check_json("args", nested(129), false), "args is nested more than 128 levels deep");
  CHECK(base::is_json(R"({"a":"[[[[\"[["})"));
}

TEST_CASE("JSON: numbers beyond double are numbers; what PostgreSQL cannot store is refused") {
  for (const char* good :
       {"{}", "1e400", "-1E-400", "12345678901234567890123", R"({"n":1e400,"s":"1e400"})", " null ", R"("\ud83d\ude00")"})
    CHECK(base::is_json(good));
  for (const char* bad : {"", "{", "{]", "nul", "01", "1e", "{\"a\":1,}", "[1 2]", "'a'", "{} {}", "\"\\u0000\"", "\"\xFF\"", "\"\x01\""}) {
    CHECK_FALSE_MESSAGE(base::is_json(bad), bad);
  }
  CHECK_THROWS_WITH(base::check_json("args", "[]", true), "args must be a JSON object");
  CHECK_THROWS_WITH(base::check_json("args", "{\"a\":\"\\u0000\"}", true), "args holds \\u0000, which PostgreSQL cannot store");
}

TEST_CASE("times: PostgreSQL's texts and back") {
  for (const char* text :
       {"1970-01-01T00:00:00.000000Z", "2026-11-20T22:40:13.804911Z", "9999-12-31T23:59:59.999999Z", "2263-01-01T00:00:00.000001Z"}) {
    REQUIRE(base::parse_time(text));
    CHECK(base::format_time(*base::parse_time(text)) == text);
  }
  CHECK(base::parse_time("2026-11-20 22:40:13+00") == base::parse_time("2026-11-20T22:40:13Z"));
  CHECK(base::parse_time("2026-11-21 04:10:13.5+05:30") == base::parse_time("2026-11-20T22:40:13.5Z"));
  CHECK(base::parse_time("2026-11-20 12:40:13-10") == base::parse_time("2026-11-20T22:40:13Z"));
  for (const char* bad :
       {"", "infinity", "-infinity", "2026-13-01 00:00:00+00", "2026-02-30 00:00:00+00", "0044-03-15 00:00:00+00 BC", "2026-11-20"}) {
    CHECK_FALSE(base::parse_time(bad));
  }
}

TEST_CASE("priorities, statuses and connection strings refuse and hide what they must") {
  CHECK_THROWS_WITH(Priority(101), "priority is 101; allowed is 0 to 100");
  CHECK_THROWS_AS(Priority(-1), InvalidArgument);
  CHECK(status_from("running") == Status::running);
  CHECK_THROWS_AS(static_cast<void>(status_from("done")), InvalidArgument);
  for (const char* url :
       {"postgresql://ann:s3cret@db.example:5433/shop", "host=db.example user=ann password=s3cret", "postgresql://ann:s3cret@[bad"}) {
    CHECK(ConnectionString(url).redacted().find("s3cret") == std::string::npos);
  }
}
