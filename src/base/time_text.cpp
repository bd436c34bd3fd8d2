#include "base/time_text.hpp"

#include <fmt/format.h>

#include <charconv>

namespace millrace::base {
namespace {

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}
  [[nodiscard]] bool number(int& out, std::size_t digits_min, std::size_t digits_max) noexcept {
    std::size_t n = 0;
    while (n < rest_.size() && n < digits_max && rest_[n] >= '0' && rest_[n] <= '9') ++n;
    if (n < digits_min) return false;
    std::from_chars(rest_.data(), rest_.data() + n, out);
    rest_.remove_prefix(n);
    return true;
  }
  [[nodiscard]] bool literal(char c) noexcept {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }
  // A fraction of a second, as microseconds.
  [[nodiscard]] int fraction() noexcept {
    int value = 0;
    int digits = 0;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; rest_.remove_prefix(1)) {
      if (digits < 6) {
        value = value * 10 + (rest_.front() - '0');
        ++digits;
      }
    }
    for (; digits < 6; ++digits) value *= 10;
    return value;
  }

 private:
  std::string_view rest_;
};

}  // namespace

std::optional<Time> parse_time(std::string_view text) noexcept {
  using namespace std::chrono;
  Reader in(text);
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0, us = 0;
  if (!in.number(y, 4, 6) || !in.literal('-') || !in.number(mo, 2, 2) || !in.literal('-') || !in.number(d, 2, 2)) return {};
  if (!in.literal('T') && !in.literal(' ')) return {};
  if (!in.number(h, 2, 2) || !in.literal(':') || !in.number(mi, 2, 2)) return {};
  if (in.literal(':') && !in.number(s, 2, 2)) return {};
  if (in.literal('.')) us = in.fraction();
  const year_month_day date{year{y}, month{static_cast<unsigned>(mo)}, day{static_cast<unsigned>(d)}};
  if (!date.ok() || h > 24 || mi > 59 || s > 60) return {};
  seconds offset{0};
  if (!in.literal('Z')) {
    const bool east = in.literal('+');
    if (!east && !in.literal('-')) return {};
    int oh = 0, om = 0, os = 0;
    if (!in.number(oh, 2, 2)) return {};
    if (in.literal(':') && !in.number(om, 2, 2)) return {};
    if (in.literal(':') && !in.number(os, 2, 2)) return {};
    offset = hours{oh} + minutes{om} + seconds{os};
    if (!east) offset = -offset;
  }
  if (!in.at_end()) return {};
  return Time{sys_days{date}} + hours{h} + minutes{mi} + seconds{s} + microseconds{us} - offset;
}

std::string format_time(Time time) {
  using namespace std::chrono;
  const auto day_point = floor<days>(time);
  const year_month_day date{day_point};
  const hh_mm_ss clock{time - day_point};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()), clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

}  // namespace millrace::base
