#include <millrace/exceptions.hpp>

namespace millrace {
namespace {

std::string said_by(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    return text_of(e);
  } catch (...) {
    return "the handler threw something that is no std::exception";
  }
}

}  // namespace

std::function<bool(const std::exception_ptr&)> ExceptionRules::by(Predicate fits) {
  return [fits = std::move(fits)](const std::exception_ptr& thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
      try {
        return fits(e);
      } catch (...) {
        return false;
      }
    } catch (...) {
      return false;
    }
  };
}

std::optional<Outcome<std::string>> ExceptionRules::judge(const std::exception_ptr& thrown) const {
  for (const Rule& rule : rules_) {
    if (!rule.fits(thrown)) continue;
    switch (rule.verdict) {
      case Verdict::give_up: return Fail{said_by(thrown)};
      case Verdict::cancel: return Cancel{said_by(thrown)};
      case Verdict::retry: break;
    }
    if (rule.delay) return Retry{*rule.delay, said_by(thrown)};
    return Err{said_by(thrown)};
  }
  if (otherwise_gives_up_) return Fail{said_by(thrown)};
  return {};
}

RawHandler ExceptionRules::guard(RawHandler handler) const {
  if (rules_.empty() && !otherwise_gives_up_) return handler;
  return [rules = *this, handler = std::move(handler)](Context& context) -> Outcome<std::string> {
    try {
      return handler(context);
    } catch (const Retry&) {
      throw;
    } catch (const Fail&) {
      throw;
    } catch (const Snooze&) {
      throw;
    } catch (const Cancel&) {
      throw;
    } catch (const Err&) {
      throw;
    } catch (...) {
      // Asked to stop, by its timeout, its end of lease or the worker's: that is no property of the task.
      if (context.stop_token().stop_requested()) throw;
      if (auto verdict = rules.judge(std::current_exception())) return *std::move(verdict);
      throw;
    }
  };
}

}  // namespace millrace
