#include <millrace/testing/perform.hpp>

#include "base/json_text.hpp"
#include "base/text.hpp"
#include "testing/bench_run.hpp"

#include <millrace/error.hpp>
#include <millrace/limits.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace millrace::testing {
namespace {

void record(Run& run, std::string result) {
  if (!result.empty()) base::check_json("result", result, false);
  run.ending = Ending::completed;
  run.result = std::move(result);
}
void record(Run& run, const Retry& retry) {
  run.ending = Ending::retry;
  run.reason = retry.reason;
  run.delay = std::max(retry.delay, Milliseconds{0});
}
void record(Run& run, const Fail& fail) {
  run.ending = Ending::fail;
  run.reason = fail.reason;
}
void record(Run& run, const Snooze& snooze) {
  run.ending = Ending::snooze;
  run.delay = std::max(snooze.delay, Milliseconds{0});
}
void record(Run& run, const Cancel& cancel) {
  run.ending = Ending::cancel;
  run.reason = cancel.reason;
}
void record(Run& run, const Err& err) {
  run.ending = Ending::error;
  run.reason = err.reason;
}
void record(Run& run, const std::exception& error) {
  run.ending = Ending::error;
  run.reason = text_of(error);
}

// The one place that knows what a handler may say. A new alternative of Outcome is a record() above, and a catch if it may be thrown.
void call(const RawHandler& handler, Context& context, Run& run) {
  try {
    std::visit([&](auto&& said) { record(run, std::forward<decltype(said)>(said)); }, handler(context).state());
  } catch (const Retry& retry) {
    record(run, retry);
  } catch (const Fail& fail) {
    record(run, fail);
  } catch (const Snooze& snooze) {
    record(run, snooze);
  } catch (const Cancel& cancel) {
    record(run, cancel);
  } catch (const Err& err) {
    record(run, err);
  } catch (const std::exception& e) {
    record(run, e);
  } catch (...) {
    record(run, Error("the handler threw something that is no std::exception"));
  }
}

Status status_after(const Run& run, const PerformOptions& options) {
  switch (run.ending) {
    case Ending::completed: return Status::completed;
    case Ending::error:
    case Ending::retry: return options.attempt < options.max_attempts ? Status::retrying : Status::failed;
    case Ending::fail: return Status::failed;
    // Given back, so its attempt does not count.
    case Ending::snooze:
      if (options.attempt > 1) return Status::retrying;
      return run.delay > Milliseconds{0} ? Status::scheduled : Status::pending;
    case Ending::cancel: break;
  }
  return Status::cancelled;
}

void check(std::string_view kind, std::string_view args, const PerformOptions& options) {
  base::check_name("kind", kind, limits::kind_bytes_max);
  base::check_json("args", args, true);
  base::check_name("queue", options.queue, limits::queue_bytes_max);
  if (options.max_attempts < 1 || options.max_attempts > limits::attempts_max) {
    throw InvalidArgument("max_attempts", fmt::format("is {}; allowed is 1 to {}", options.max_attempts, limits::attempts_max));
  }
  if (options.attempt < 1 || options.attempt > options.max_attempts) {
    throw InvalidArgument("attempt", fmt::format("is {}; allowed is 1 to {} (max_attempts)", options.attempt, options.max_attempts));
  }
  if (options.timeout && (options.timeout->count() < 1 || *options.timeout > limits::timeout_max)) {
    throw InvalidArgument("timeout", fmt::format("is {} ms; allowed is 1 ms to 365 days", options.timeout->count()));
  }
}

}  // namespace

std::string_view to_string(Ending ending) noexcept {
  switch (ending) {
    case Ending::completed: return "completed";
    case Ending::error: return "error";
    case Ending::retry: return "retry";
    case Ending::fail: return "fail";
    case Ending::snooze: return "snooze";
    case Ending::cancel: break;
  }
  return "cancel";
}

Run perform_raw(std::string_view kind, std::string_view args, const RawHandler& handler, const PerformOptions& options) {
  check(kind, args, options);
  Run run;
  BenchRun context(kind, args, options, run);
  call(options.exceptions.guard(handler), context, run);
  try {
    context.end(run.ending == Ending::completed);
  } catch (const std::exception& e) {
    run.result.clear();
    record(run, Error(fmt::format("the handler's transaction was not committed: {}", e.what())));
  }
  if (run.ending == Ending::error && context.timed_out()) {
    run.reason = fmt::format("timed out after {} ms: {}", options.timeout.value_or(Milliseconds{}).count(), run.reason);
  }
  run.reason = base::storable(run.reason, limits::error_characters_max);
  run.status = status_after(run, options);
  return run;
}

}  // namespace millrace::testing
