// The small types that the rest of the interface is written in.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/error.hpp>

namespace millrace {

/// A point in time as the database knows it: UTC, microseconds, the years 1970 to 9999.
using Time = std::chrono::sys_time<std::chrono::microseconds>;
using Milliseconds = std::chrono::milliseconds;

/// The id of a task: the primary key of its row, unique within a schema for ever.
struct TaskId {
  std::int64_t value = 0;
  auto operator<=>(const TaskId&) const = default;
};

/// The id of a lease: a worker's right to the tasks of one claimed batch. Never reused.
struct LeaseId {
  std::int64_t value = 0;
  auto operator<=>(const LeaseId&) const = default;
};

/// The states of a task. docs/guarantees.md draws how they follow each other.
enum class Status : std::uint8_t { waiting, pending, scheduled, retrying, running, completed, failed, cancelled };

/// The name of a status as SQL spells it.
[[nodiscard]] std::string_view to_string(Status status) noexcept;
/// The status of that name. Throws InvalidArgument("status") for any other text.
[[nodiscard]] Status status_from(std::string_view name);

/// How urgent a task is: 0 to 100, higher first, in buckets of 25; first come first served within a bucket.
class Priority {
 public:
  constexpr Priority() = default;
  /// Throws InvalidArgument("priority") outside 0 to 100.
  constexpr Priority(int value) : value_(value) {  // NOLINT(google-explicit-constructor): 0 to 100 is how people write it
    if (value < 0 || value > 100) throw InvalidArgument("priority", "is " + std::to_string(value) + "; allowed is 0 to 100");
  }
  [[nodiscard]] constexpr int value() const noexcept { return value_; }
  constexpr auto operator<=>(const Priority&) const = default;

  static const Priority critical, high, normal, low;

 private:
  int value_ = 50;
};
inline const Priority Priority::critical{100};
inline const Priority Priority::high{75};
inline const Priority Priority::normal{50};
inline const Priority Priority::low{25};

/// A retry policy: how long to wait after a failed attempt. Made by exponential(), linear() or fixed().
struct Backoff {
  enum class Kind : std::uint8_t { exponential, linear, fixed };
  Kind kind = Kind::exponential;
  Milliseconds base{15'000};    ///< The first delay; 0 to 365 days.
  Milliseconds cap{3'600'000};  ///< The longest delay, before jitter; 0 to 365 days.
  double multiplier = 2;        ///< exponential only: each delay is this many times the one before; 1 to 100.
  double jitter = 0.15;         ///< Each delay is multiplied by a random factor from 1 - jitter to 1 + jitter; 0, or 0.000001 to 0.5.
  bool operator==(const Backoff&) const = default;
};

/// base, base * multiplier, base * multiplier^2, … never above cap.
[[nodiscard]] constexpr Backoff exponential(Milliseconds base, Milliseconds cap, double multiplier = 2, double jitter = 0.15) {
  return {Backoff::Kind::exponential, base, cap, multiplier, jitter};
}
/// base, 2 * base, 3 * base, … never above cap.
[[nodiscard]] constexpr Backoff linear(Milliseconds base, Milliseconds cap, double jitter = 0.15) {
  return {Backoff::Kind::linear, base, cap, 2, jitter};
}
/// Always the same delay.
[[nodiscard]] constexpr Backoff fixed(Milliseconds delay, double jitter = 0.15) { return {Backoff::Kind::fixed, delay, delay, 2, jitter}; }

/// Where the database is: a libpq URI or keyword string; empty means libpq's environment (PGHOST, PGSERVICE, …).
/// It may hold a password, so it cannot be printed: `reveal()` is for connecting, `redacted()` for people.
class ConnectionString {
 public:
  ConnectionString() = default;
  ConnectionString(std::string text) : text_(std::move(text)) {}  // NOLINT(google-explicit-constructor)
  ConnectionString(const char* text) : text_(text) {}             // NOLINT(google-explicit-constructor)
  [[nodiscard]] const std::string& reveal() const noexcept { return text_; }
  /// The same address without any password or other secret, for messages.
  [[nodiscard]] std::string redacted() const;

 private:
  std::string text_;
};

}  // namespace millrace

template <>
struct std::hash<millrace::TaskId> {
  std::size_t operator()(millrace::TaskId id) const noexcept { return std::hash<std::int64_t>{}(id.value); }
};
template <>
struct std::hash<millrace::LeaseId> {
  std::size_t operator()(millrace::LeaseId id) const noexcept { return std::hash<std::int64_t>{}(id.value); }
};
