// What a handler may say instead of returning a result. Each may be returned through Outcome<R>, or thrown.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include <millrace/types.hpp>

namespace millrace {

/// Run this task again after `delay` (at least 0); the attempt counts.
struct Retry {
  Milliseconds delay{};
  std::string reason{};
};
/// Never run this task again: it becomes a dead letter with this reason.
struct Fail {
  std::string reason{};
};
/// Run this task again after `delay`; the attempt does not count.
struct Snooze {
  Milliseconds delay{};
};

[[nodiscard]] inline Retry retry_in(Milliseconds delay, std::string reason = "the handler asked to be run again") {
  return {delay, std::move(reason)};
}
[[nodiscard]] inline Fail fail(std::string reason) { return {std::move(reason)}; }
[[nodiscard]] inline Snooze snooze(Milliseconds delay) { return {delay}; }

/// The result of a handler that says more than a value: an R, or one of the above.
template <class R>
class Outcome {
 public:
  Outcome(R value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Outcome(Retry retry) : state_(std::move(retry)) {}                      // NOLINT(google-explicit-constructor)
  Outcome(Fail fail) : state_(std::move(fail)) {}                         // NOLINT(google-explicit-constructor)
  Outcome(Snooze snooze) : state_(snooze) {}                              // NOLINT(google-explicit-constructor)

  [[nodiscard]] const std::variant<R, Retry, Fail, Snooze>& state() const& noexcept { return state_; }
  [[nodiscard]] std::variant<R, Retry, Fail, Snooze>&& state() && noexcept { return std::move(state_); }

 private:
  std::variant<R, Retry, Fail, Snooze> state_;
};

/// For handlers without a result: `return done;`.
struct Done {};
inline constexpr Done done{};

}  // namespace millrace
