// What becomes of a task whose handler threw: by the type of the exception, or by what a predicate says of it.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <millrace/context.hpp>
#include <millrace/outcome.hpp>

namespace millrace {

/// A handler on the level of JSON text: returns the result's JSON text, empty for none. `context.args()` has the args.
using RawHandler = std::function<Outcome<std::string>(Context&)>;

/// The rules are asked in the order in which they were added, and the first that fits decides. A type fits itself and what
/// is derived from it; anything may be thrown. A predicate is asked for what is derived from std::exception; if it throws, it does not fit.
/// What no rule fits is retried by the task's policy, unless give_up_otherwise() was called.
///
/// Retry, Fail, Snooze, Cancel and Err that are thrown are the handler's own word, and no rule is asked. Nor is one when the
/// run was asked to stop: what a handler throws then says nothing about the task.
class ExceptionRules {
 public:
  using Predicate = std::function<bool(const std::exception&)>;

  /// A failed attempt: the task is retried by its policy, or after `delay`.
  template <class E>
  ExceptionRules& retry_on(std::optional<Milliseconds> delay = {}) {
    return add(&is_a<E>, Verdict::retry, delay);
  }
  ExceptionRules& retry_on(Predicate fits, std::optional<Milliseconds> delay = {}) {
    return add(by(std::move(fits)), Verdict::retry, delay);
  }
  /// The task becomes a dead letter at once.
  template <class E>
  ExceptionRules& give_up_on() {
    return add(&is_a<E>, Verdict::give_up);
  }
  ExceptionRules& give_up_on(Predicate fits) { return add(by(std::move(fits)), Verdict::give_up); }
  /// The task ends as cancelled: there is nothing left to do.
  template <class E>
  ExceptionRules& cancel_on() {
    return add(&is_a<E>, Verdict::cancel);
  }
  ExceptionRules& cancel_on(Predicate fits) { return add(by(std::move(fits)), Verdict::cancel); }
  /// The task becomes a dead letter after any exception that no rule fits.
  ExceptionRules& give_up_otherwise() {
    otherwise_gives_up_ = true;
    return *this;
  }

  /// The handler with these rules around it.
  [[nodiscard]] RawHandler guard(RawHandler handler) const;

 private:
  enum class Verdict : std::uint8_t { retry, give_up, cancel };
  struct Rule {
    std::function<bool(const std::exception_ptr&)> fits;
    Verdict verdict;
    std::optional<Milliseconds> delay;
  };

  template <class E>
  static bool is_a(const std::exception_ptr& thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const E&) {
      return true;
    } catch (...) {
      return false;
    }
  }
  static std::function<bool(const std::exception_ptr&)> by(Predicate fits);
  ExceptionRules& add(std::function<bool(const std::exception_ptr&)> fits, Verdict verdict, std::optional<Milliseconds> delay = {}) {
    rules_.push_back({std::move(fits), verdict, delay});
    return *this;
  }
  [[nodiscard]] std::optional<Outcome<std::string>> judge(const std::exception_ptr& thrown) const;

  std::vector<Rule> rules_;
  bool otherwise_gives_up_ = false;
};

}  // namespace millrace
