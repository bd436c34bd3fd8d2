// One run of a handler, without a database, a worker or a task.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <millrace/context.hpp>
#include <millrace/enqueue.hpp>
#include <millrace/exceptions.hpp>
#include <millrace/outcome.hpp>
#include <millrace/task.hpp>
#include <millrace/worker.hpp>

namespace millrace::testing {

class Database;

/// What the handler is to see of its run.
struct PerformOptions {
  TaskId id{1};
  std::string queue = "default";
  int attempt = 1;
  int max_attempts = 5;
  LeaseId lease{1};
  std::string worker_id = "00000000-0000-4000-8000-000000000000";
  std::optional<Time> scheduled_at{};     ///< Default: the time of the call.
  std::optional<Time> started_at{};       ///< Default: the time of the call.
  std::optional<Milliseconds> timeout{};  ///< As a worker keeps it: the stop is requested at its end. Default: the definition's.
  std::optional<std::string> correlation{};
  std::optional<std::string> tenant{};
  std::optional<std::string> traceparent{};
  std::map<std::string, std::string> metadata{};
  bool stop_requested = false;   ///< The run is asked to stop before it begins.
  std::stop_token stop{};        ///< Asks it to stop when you do.
  ExceptionRules exceptions{};   ///< As they are given to Worker::handle.
  Database* database = nullptr;  ///< Where context.transaction() is; without, it throws Error.
};

/// How a run ended. `error`: it threw something that is none of the others, or returned err().
enum class Ending : std::uint8_t { completed, error, retry, fail, snooze, cancel };
[[nodiscard]] std::string_view to_string(Ending ending) noexcept;

/// A task that the handler enqueued through its context: it was looked at as a database would, and kept, not sent.
struct Sent {
  TaskId id{};  ///< 1000001, 1000002, …
  std::string kind{};
  std::string args{};        ///< JSON text.
  EnqueueOptions options{};  ///< With what it inherits.
};

struct SaidProgress {
  std::int64_t done = 0;
  std::int64_t total = 0;
  std::string note{};
};

/// What became of a run, on the level of JSON text.
struct Run {
  Ending ending = Ending::completed;
  /// What the task's status would be after it: completed, retrying, scheduled (snoozed), failed or cancelled.
  Status status = Status::completed;
  std::string result{};                 ///< JSON text; empty if there is none.
  std::string reason{};                 ///< Of an error (what a worker would record as the attempt's message), retry, fail or cancel.
  std::optional<Milliseconds> delay{};  ///< Of a retry or snooze. An error is retried by the task's policy.
  std::vector<SaidProgress> progress{};
  std::vector<std::string> log{};  ///< A line each, as Client::logs would give them.
  std::vector<Sent> sent{};

  /// The args of what it enqueued of this definition's kind, in order.
  template <class Args, class Result>
  [[nodiscard]] std::vector<Args> sent_of(const Task<Args, Result>& task) const {
    std::vector<Args> all;
    for (const Sent& one : sent) {
      if (one.kind == task.kind()) all.push_back(nlohmann::json::parse(one.args).template get<Args>());
    }
    return all;
  }
};

/// The same with the result read.
template <class Result>
struct Performed : Run {
  std::optional<Result> value{};  ///< If it completed.
};
template <>
struct Performed<void> : Run {};

/// Runs `handler` here and now, as a worker would with this kind and these args, and returns what became of it; whatever it throws is
/// part of that. With a database, context.transaction() is committed if it completes and rolled back otherwise; no task exists there.
/// Throws InvalidArgument for a kind, args or options that no task can have; ConnectionError.
[[nodiscard]] Run perform_raw(std::string_view kind, std::string_view args, const RawHandler& handler, const PerformOptions& options = {});

/// The same for a definition and a handler as Worker::handle takes them. The args take the way through JSON that they always take.
template <class Args, class Result, class Handler>
[[nodiscard]] Performed<Result> perform(const Task<Args, Result>& task, const std::type_identity_t<Args>& args, Handler handler,
                                        PerformOptions options = {}) {
  const EnqueueOptions& defaults = task.defaults();
  if (!options.timeout) options.timeout = defaults.timeout;
  Performed<Result> performed;
  static_cast<Run&>(performed) = perform_raw(task.kind(), task.text(args), task.wrap(std::move(handler)), options);
  if constexpr (!std::is_void_v<Result>) {
    if (performed.ending == Ending::completed) performed.value = nlohmann::json::parse(performed.result).template get<Result>();
  }
  return performed;
}

}  // namespace millrace::testing
