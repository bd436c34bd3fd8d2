// When rules tick, and what is no rule.
#include "base/text.hpp"
#include "support/schema.hpp"

#include <millrace/error.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

using namespace millrace;
using namespace millrace::test;
using base::quote_literal;

namespace {

// The next three ticks after a time, separated by tabs; - where there is none.
constexpr const char* three = R"(
  SELECT string_agg(coalesce(to_char(tick AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '-'), E'\t' ORDER BY n)
  FROM generate_series(1, 3) n
  LEFT JOIN ticks_between($1, $2, $5::timestamptz, '9999-12-31', $3, $4, most => 3) WITH ORDINALITY AS t(tick, m) ON m = n)";

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, '\t');) fields.push_back(field);
  return fields;
}

std::string refusal(Schema& schema, const std::string& sql) {
  try {
    schema.connection().run(sql);
  } catch (const DatabaseError& e) {
    CHECK(e.sqlstate() == "22023");
    return e.what();
  }
  return "nothing was refused";
}

}  // namespace

TEST_CASE("the table of rules, zones and policies: the next three ticks of each") {
  Schema schema;
  std::ifstream table(TICKS);
  int cases = 0;
  for (std::string line; std::getline(table, line);) {
    if (line.empty() || line.front() == '#') continue;
    const auto fields = fields_of(line);
    REQUIRE(fields.size() == 8);
    INFO(line);
    postgres::Params params;
    for (std::size_t i = 0; i < 5; ++i) params.text(fields[i]);
    CHECK(schema.connection().run(three, params).text(0, 0) == fields[5] + '\t' + fields[6] + '\t' + fields[7]);
    ++cases;
  }
  CHECK(cases >= 150);
}

TEST_CASE("next_tick and ticks_between agree, and a tick is strictly after the time that is asked for") {
  Schema schema;
  CHECK(schema.value("SELECT next_tick('0 0 * * *', 'UTC', '2026-11-20 00:00+00') = '2026-11-21 00:00+00'") == "t");
  CHECK(schema.value("SELECT next_tick('0 0 * * *', 'UTC', '2026-11-19 23:59:59.999999+00') = '2026-11-20 00:00+00'") == "t");
  CHECK(schema.number("SELECT count(*) FROM ticks_between('0 0 * * *', 'UTC', '2026-11-01 00:00+00', '2026-11-20 00:00+00')") == 19);
  CHECK(schema.value("SELECT next_tick('0 3 31 12 *', 'UTC', '9998-12-31 12:00+00') = '9999-12-31 03:00+00'") == "t");
  CHECK(schema.value("SELECT next_tick('every 90s', 'UTC', '2026-11-20 00:00:10+00', anchor => '2026-11-20 00:00:05+00')"
                     " = '2026-11-20 00:01:35+00'") == "t");
}

TEST_CASE("the session's own time zone changes nothing") {
  Schema schema;
  const char* sql = "SELECT next_tick('30 2 * * *', 'Europe/Kyiv', '2026-03-28 12:00+00') = '2026-03-29 00:30+00'";
  for (const char* zone : {"UTC", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"}) {
    schema.connection().script(fmt::format("SET timezone = '{}'", zone));
    CHECK(schema.value(sql) == "t");
  }
}

TEST_CASE("each malformed rule is refused: the field, the value, what is allowed") {
  Schema schema;
  const std::pair<const char*, const char*> cases[] = {
      {"", "rule has 0 bytes; allowed are 1 to 256"},
      {"60 * * * *", R"(rule has "60" as minute; allowed are 0 to 59)"},
      {"* 24 * * *", R"(rule has "24" as hour; allowed are 0 to 23)"},
      {"* * 0 * *", R"(rule has "0" as day of month; allowed are 1 to 31)"},
      {"* * 32 * *", R"(rule has "32" as day of month; allowed are 1 to 31)"},
      {"* * * 13 *", R"(rule has "13" as month; allowed are 1 to 12 and JAN to DEC)"},
      {"* * * 0 *", R"(rule has "0" as month; allowed are 1 to 12 and JAN to DEC)"},
      {"* * * * 8", R"(rule has "8" as weekday; allowed are 0 to 7 and SUN to SAT)"},
      {"* * * * MUN", R"(rule has "MUN" as weekday; allowed are 0 to 7 and SUN to SAT)"},
      {"* * * JANUARY *", R"(rule has "JANUARY" as month; allowed are 1 to 12 and JAN to DEC)"},
      {"* * * MON *", R"(rule has "MON" as month; allowed are 1 to 12 and JAN to DEC)"},
      {"61 * * * * *", R"(rule has "61" as second; allowed are 0 to 59)"},
      {"*/0 * * * *", R"(rule has the step "0" in minute; allowed is 1 to 59)"},
      {"*/60 * * * *", R"(rule has the step "60" in minute; allowed is 1 to 59)"},
      {"*/99999999999 * * * *", R"(rule has the step "99999999999" in minute; allowed is 1 to 59)"},
      {"5-1 * * * *", R"(rule has the range "5-1" in minute; allowed are ranges that do not wrap around: write two, with a comma)"},
      {"* 22-2 * * *", R"(rule has the range "22-2" in hour; allowed are ranges that do not wrap around: write two, with a comma)"},
      {"* * * * SAT-MON",
       R"(rule has the range "SAT-MON" in weekday; allowed are ranges that do not wrap around: write two, with a comma)"},
      {"1,,2 * * * *", R"(rule has "" as minute; allowed are values, ranges such as 1-5, steps such as */10, and lists of them)"},
      {"1, * * * *", R"(rule has "" as minute; allowed are values, ranges such as 1-5, steps such as */10, and lists of them)"},
      {"-1 * * * *", R"(rule has "-1" as minute; allowed are values, ranges such as 1-5, steps such as */10, and lists of them)"},
      {"1.5 * * * *", R"(rule has "1.5" as minute; allowed are values, ranges such as 1-5, steps such as */10, and lists of them)"},
      {"? * * * *", R"(rule has "?" as minute; allowed are values, ranges such as 1-5, steps such as */10, and lists of them)"},
      {"*-5 * * * *", R"(rule has "*-5" as minute; allowed are values, ranges such as 1-5, steps such as */10, and lists of them)"},
      {"** * * * *", R"(rule has "**" as minute; allowed are values, ranges such as 1-5, steps such as */10, and lists of them)"},
      {"* * L-3 * *", R"(rule has "L-3" as day of month; allowed are 1 to 31, L, LW and such as 15W)"},
      {"* * 32W * *", R"(rule has "32" as day of month; allowed are 1 to 31)"},
      {"* * 1-5W * *", R"(rule has "1-5W" as day of month; allowed are 1 to 31, L, LW and such as 15W)"},
      {"* * W * *", R"(rule has "W" as day of month; allowed are 1 to 31, L, LW and such as 15W)"},
      {"* * * * L", R"(rule has "L" as weekday; allowed is L after a weekday, such as FRIL or 5L)"},
      {"* * * * MON#6", R"(rule has "MON#6" as weekday; allowed after # is 1 to 5, such as MON#2)"},
      {"* * * * 1#0", R"(rule has "1#0" as weekday; allowed after # is 1 to 5, such as MON#2)"},
      {"* * * * #2", R"(rule has "#2" as weekday; allowed after # is 1 to 5, such as MON#2)"},
      {"* * * * 8#1", R"(rule has "8" as weekday; allowed are 0 to 7 and SUN to SAT)"},
      {"* * * *", "rule has 4 fields; allowed are 5 (minute, hour, day of month, month, weekday), or 6 with seconds first"},
      {"* * * * * * *", "rule has 7 fields; allowed are 5 (minute, hour, day of month, month, weekday), or 6 with seconds first"},
      {"nonsense", "rule has 1 fields; allowed are 5 (minute, hour, day of month, month, weekday), or 6 with seconds first"},
      {"@reboot", R"(rule is "@reboot"; allowed are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually)"},
      {"@daily 5", R"(rule is "@daily 5"; allowed are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually)"},
      {"every", R"(rule is "every"; allowed after every is a duration such as 90s, 1h30m or 2d)"},
      {"every day", R"(rule is "every day"; allowed after every is a duration such as 90s, 1h30m or 2d)"},
      {"every 90", R"(rule is "every 90"; allowed after every is a duration such as 90s, 1h30m or 2d)"},
      {"every -90s", R"(rule is "every -90s"; allowed after every is a duration such as 90s, 1h30m or 2d)"},
      {"every 0s", "rule is every 0 seconds; allowed is 1 second to 366 days"},
      {"every 400d", "rule is every 34560000 seconds; allowed is 1 second to 366 days"},
      {"every 999999999w", "rule is every 604799999395200 seconds; allowed is 1 second to 366 days"},
      {"0 0 31 2 *", "rule names day 31 of months that have at most 29, so it would never fire"},
      {"0 0 30,31 FEB *", "rule names day 30, 31 of months that have at most 29, so it would never fire"},
      {"0 0 31 4,6,9,11 *", "rule names day 31 of months that have at most 30, so it would never fire"},
      {"0 0 31W 2 *", "rule names day 31W of months that have at most 29, so it would never fire"},
  };
  for (const auto& one : cases) {
    const char* rule = one.first;
    const std::string message = one.second;
    CAPTURE(rule);
    CHECK(refusal(schema, fmt::format("SELECT next_tick({}, 'UTC', now())", quote_literal(rule))) == message);
    CHECK(refusal(schema, fmt::format("SELECT put_schedule('s', {}, 'k')", quote_literal(rule))) == message);
  }
  CHECK(schema.number("SELECT count(*) FROM schedules") == 0);
  CHECK(refusal(schema, "SELECT next_tick(repeat('1,', 200) || ' * * * *', 'UTC', now())") == "rule has 408 bytes; allowed are 1 to 256");
  CHECK(refusal(schema, "SELECT next_tick(NULL, 'UTC', now())") == "rule has no bytes; allowed are 1 to 256");
}

TEST_CASE("each other argument is refused by its name") {
  Schema schema;
  const std::string zones =
      ", which is no time zone that this server knows; allowed are IANA names such as Europe/Berlin (see pg_timezone_names)";
  for (const char* zone : {"Mars/Base", "PST", "ABC5", "+02:00", "", "../../etc/passwd", "Europe/Berlin/x", "Europe/..", "posixrules5"}) {
    CAPTURE(zone);
    CHECK(refusal(schema, fmt::format("SELECT next_tick('* * * * *', {}, now())", quote_literal(zone))) ==
          fmt::format("zone is \"{}\"{}", zone, zones));
  }
  CHECK(refusal(schema, "SELECT next_tick('* * * * *', NULL, now())") == "zone is null" + zones);
  for (const char* zone : {"UTC", "GMT", "Europe/Kyiv", "America/Argentina/Buenos_Aires", "Etc/GMT+12"})
    CHECK(refusal(schema, fmt::format("SELECT next_tick('* * * * *', '{}', now())", zone)) == "nothing was refused");
  CHECK(refusal(schema, "SELECT next_tick('* * * * *', 'UTC', now(), gap => 'move')") == "gap is 'move'; allowed are skip and shift");
  CHECK(refusal(schema, "SELECT next_tick('* * * * *', 'UTC', now(), fold => NULL)") == "fold is null; allowed are first, last and both");
  for (const char* after : {"infinity", "-infinity", "1899-12-31", "0044-03-15 BC", "10000-01-01", "294276-01-01"}) {
    CAPTURE(after);
    CHECK(refusal(schema, fmt::format("SELECT next_tick('* * * * *', 'UTC', '{}')", after)).starts_with("after is "));
    CHECK(refusal(schema, fmt::format("SELECT next_tick('every 1s', 'UTC', now(), anchor => '{}')", after)).starts_with("anchor is "));
    CHECK(refusal(schema, fmt::format("SELECT * FROM preview_ticks('* * * * *', 'UTC', '{}')", after)).starts_with("from is "));
    CHECK(refusal(schema, fmt::format("SELECT ticks_between('* * * * *', 'UTC', '{}', now())", after)).starts_with("since is "));
  }
  CHECK(refusal(schema, "SELECT * FROM preview_ticks('* * * * *', 'UTC', now(), 0)") == "count is 0; allowed is 1 to 1000");
  CHECK(refusal(schema, "SELECT ticks_between('* * * * *', 'UTC', now(), now(), most => 0)") == "most is 0; allowed is 1 to 100000");
}

TEST_CASE("a rule that a policy never lets fire is refused when the schedule is made") {
  Schema schema;
  // Always within the gap of that Sunday.
  CHECK(refusal(schema, "SELECT put_schedule('s', '30 2 * 3 SUNL', 'k', zone => 'Europe/Berlin', gap => 'skip')") ==
        "rule \"30 2 * 3 SUNL\" never fires after now");
  CHECK(schema.number("SELECT count(*) FROM schedules") == 0);
  CHECK(schema.value("SELECT put_schedule('s', '30 2 * 3 SUNL', 'k', zone => 'Europe/Berlin')") == "created");
}

TEST_CASE("a preview marks what a change of clocks moves, drops or doubles") {
  Schema schema;
  const auto shown = [&](const std::string& arguments) {
    return schema.value(
        "SELECT string_agg(concat_ws('|', to_char(tick AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), local, note), E'\n' ORDER BY n)"
        " FROM preview_ticks(" +
        arguments + ") WITH ORDINALITY AS p(tick, local, note, n)");
  };
  CHECK(shown("'30 2 * * *', 'Europe/Berlin', '2027-03-27', 3") ==
        "03-27 01:30|Sat 2027-03-27 02:30:00|\n"
        "03-28 01:30|Sun 2027-03-28 02:30:00|moved: this local time does not exist on this day\n"
        "03-29 00:30|Mon 2027-03-29 02:30:00|");
  CHECK(shown("'30 2 * * *', 'Europe/Berlin', '2027-03-27', 2, 'skip'") ==
        "03-27 01:30|Sat 2027-03-27 02:30:00|\n"
        "Sun 2027-03-28 02:30:00|dropped: this local time does not exist on this day\n"
        "03-29 00:30|Mon 2027-03-29 02:30:00|");
  CHECK(shown("'30 2 * * *', 'Europe/Berlin', '2027-10-30 12:00+00', 2") ==
        "10-31 00:30|Sun 2027-10-31 02:30:00|the first of two\n"
        "Sun 2027-10-31 02:30:00|dropped: the second of two\n"
        "11-01 01:30|Mon 2027-11-01 02:30:00|");
  CHECK(shown("'30 2 * * *', 'Europe/Berlin', '2027-10-30 12:00+00', 1, 'shift', 'last'") ==
        "Sun 2027-10-31 02:30:00|dropped: the first of two\n"
        "10-31 01:30|Sun 2027-10-31 02:30:00|the second of two");
  CHECK(shown("'15 2 * * *', 'Australia/Lord_Howe', '2026-10-03 12:00+00', 1") ==
        "10-03 15:45|Sun 2026-10-04 02:15:00|moved: this local time does not exist on this day");
  CHECK(shown("'0 * * * *', 'Europe/Berlin', '2027-10-31 00:30+00', 2") ==
        "10-31 01:00|Sun 2027-10-31 02:00:00|\n10-31 02:00|Sun 2027-10-31 03:00:00|");
}
