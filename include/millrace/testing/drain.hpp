// Running what is due, until nothing is.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <millrace/testing/database.hpp>
#include <millrace/types.hpp>
#include <millrace/worker.hpp>

namespace millrace::testing {

struct DrainOptions {
  int threads = 1;                    ///< Tasks of a queue that run at once; 1 to 1000.
  std::int64_t tasks_max = 10'000;    ///< Runs, about, before drain() gives up: tasks that enqueue each other never end. At least 1.
  Milliseconds time_max{60'000};      ///< Real time before it gives up. At least 1 ms.
  std::vector<std::string> queues{};  ///< Default: all there are.
};

/// What drain() ran.
struct Drained {
  std::int64_t completed = 0;
  std::int64_t retried = 0;    ///< Runs that failed and left the task to be run again.
  std::int64_t failed = 0;     ///< Runs that made their task a dead letter.
  std::int64_t released = 0;   ///< Runs that were given back: snoozed.
  std::int64_t cancelled = 0;  ///< Runs that ended their task as cancelled, or that somebody cancelled.
  std::int64_t lost = 0;       ///< Runs whose end was refused because their lease was lost.

  struct Failure {
    TaskId id{};
    std::string kind{};
    int attempt = 0;
    std::string message{};
    Status status = Status::retrying;  ///< The task's now.
  };
  std::vector<Failure> failures{};                  ///< Of each task at most the latest 10, by task and attempt.
  std::map<std::string, std::int64_t> unhandled{};  ///< Due tasks by kind for which there was no handler. They are left as they were.

  /// All of it in words.
  [[nodiscard]] std::string text() const;
};

/// Runs every task that is due, those that become due meanwhile (such as the tasks that handlers enqueue), and the ticks of schedules,
/// and returns when nothing is due and nothing runs. What is to run later, such as a retry, stays: `db.clock().advance(1h)`, and drain
/// again. `configure` gives handlers (and schedules) to a real worker; it is called again if tasks turn up in a queue that had none.
/// Throws AssertionFailed, which tells what is still due, at the limits; InvalidArgument; what Worker::start throws.
Drained drain(Database& database, const std::function<void(Worker&)>& configure, const DrainOptions& options = {});

/// The same for one definition and its handler.
template <class Args, class Result, class Handler>
Drained drain(Database& database, const Task<Args, Result>& task, Handler handler, const DrainOptions& options = {}) {
  return drain(
      database, [&](Worker& worker) { worker.handle(task, handler); }, options);
}

}  // namespace millrace::testing
