#include "cli/exec_progress.hpp"

#include <charconv>
#include <cstdint>
#include <optional>

namespace millrace::cli {
namespace {

struct Said {
  std::int64_t done = 0;
  std::int64_t total = 0;
  std::string_view note{};
};

std::optional<std::int64_t> take_number(std::string_view& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0 || text.front() == '-') return {};
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// None if the line is no progress, or malformed: then it is logged as it is, where its author will find it.
std::optional<Said> read(std::string_view line) {
  constexpr std::string_view prefix = "millrace: progress ";
  if (!line.starts_with(prefix)) return {};
  line.remove_prefix(prefix.size());
  Said said;
  if (line.empty()) return {};
  const auto done = take_number(line);
  if (!done) return {};
  said.done = *done;
  if (line.starts_with('/')) {
    line.remove_prefix(1);
    if (line.empty()) return {};
    const auto total = take_number(line);
    if (!total) return {};
    said.total = *total;
  }
  if (!line.empty() && line.front() != ' ') return {};
  if (!line.empty()) line.remove_prefix(1);
  said.note = line;
  return said;
}

template <class OnLine>
void each_line(std::string_view text, const OnLine& on_line) {
  while (!text.empty()) {
    const std::size_t newline = text.find('\n');
    const std::size_t end = newline == std::string_view::npos ? text.size() : newline + 1;
    std::string_view line = text.substr(0, newline);
    if (line.ends_with('\r')) line.remove_suffix(1);
    on_line(line, text.substr(0, end));
    text.remove_prefix(end);
  }
}

}  // namespace

void report_lines(Context& context, std::string_view lines) {
  std::string others;
  each_line(lines, [&](std::string_view line, std::string_view whole) {
    if (const auto said = read(line))
      context.progress(said->done, said->total, said->note);
    else
      others += whole;
  });
  if (!others.empty()) context.log(others);
}

std::string without_progress(std::string_view text) {
  std::string others;
  each_line(text, [&](std::string_view line, std::string_view whole) {
    if (!read(line)) others += whole;
  });
  return others;
}

}  // namespace millrace::cli
