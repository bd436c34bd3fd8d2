// What a handler may say instead of returning a result. Each may be returned through Outcome<R>, or thrown.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
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
/// There is nothing left to do: the task ends as cancelled, with this reason, and is no dead letter.
struct Cancel {
  std::string reason{};
};
/// The attempt failed: as an exception with this message would.
struct Err {
  std::string reason{};
};
/// For handlers without a result: `return done;`.
struct Done {};
inline constexpr Done done{};

[[nodiscard]] inline Retry retry_in(Milliseconds delay, std::string reason = "the handler asked to be run again") {
  return {delay, std::move(reason)};
}
[[nodiscard]] inline Fail fail(std::string reason) { return {std::move(reason)}; }
[[nodiscard]] inline Snooze snooze(Milliseconds delay) { return {delay}; }
[[nodiscard]] inline Cancel cancel(std::string reason) { return {std::move(reason)}; }

/// What an error says of itself: a text, or what() or message() of it.
template <class Error>
[[nodiscard]] std::string text_of(const Error& error) {
  if constexpr (std::is_convertible_v<const Error&, std::string_view>) {
    return std::string(std::string_view(error));
  } else if constexpr (requires { error.what(); }) {
    if constexpr (std::is_convertible_v<decltype(error.what()), const char*>) {
      const char* const what = error.what();
      return what != nullptr ? what : "an exception without a message";
    } else {
      return std::string(error.what());
    }
  } else {
    static_assert(
        requires { error.message(); }, "an error must be a text, or have what() or message()");
    return std::string(error.message());
  }
}

/// For teams that do not throw: `return ok(receipt);`, `return ok();`, and `return err("the mail server is busy");` for an attempt
/// that failed. The error is a text, or has what() or message(), as std::error_code does.
template <class R>
[[nodiscard]] std::decay_t<R> ok(R&& value) {
  return std::forward<R>(value);
}
[[nodiscard]] constexpr Done ok() noexcept { return done; }
template <class Error>
[[nodiscard]] Err err(const Error& error) {
  return {text_of(error)};
}

/// The result of a handler that says more than a value: an R, or one of the above.
template <class R>
class Outcome {
 public:
  using State = std::variant<R, Retry, Fail, Snooze, Cancel, Err>;

  Outcome(R value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Outcome(Retry retry) : state_(std::move(retry)) {}                      // NOLINT(google-explicit-constructor)
  Outcome(Fail fail) : state_(std::move(fail)) {}                         // NOLINT(google-explicit-constructor)
  Outcome(Snooze snooze) : state_(snooze) {}                              // NOLINT(google-explicit-constructor)
  Outcome(Cancel cancel) : state_(std::move(cancel)) {}                   // NOLINT(google-explicit-constructor)
  Outcome(Err err) : state_(std::move(err)) {}                            // NOLINT(google-explicit-constructor)

  [[nodiscard]] const State& state() const& noexcept { return state_; }
  [[nodiscard]] State&& state() && noexcept { return std::move(state_); }

  /// The same outcome, with what `to` makes of the value.
  template <class To>
  [[nodiscard]] auto map(const To& to) && -> Outcome<std::decay_t<decltype(to(std::declval<R>()))>> {
    if (state_.index() == 0) return to(std::get<0>(std::move(state_)));
    return std::visit(
        [](auto&& other) -> Outcome<std::decay_t<decltype(to(std::declval<R>()))>> {
          // The value's own type is dealt with above.
          if constexpr (std::is_same_v<std::decay_t<decltype(other)>, R>)
            return Err{};
          else
            return std::forward<decltype(other)>(other);
        },
        std::move(state_));
  }

 private:
  State state_;
};

namespace detail {
template <class Returned>
inline constexpr bool is_outcome = false;
template <class R>
inline constexpr bool is_outcome<Outcome<R>> = true;
}  // namespace detail

}  // namespace millrace
