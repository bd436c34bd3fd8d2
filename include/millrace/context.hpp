// What a handler knows about the run it is in.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <millrace/enqueue.hpp>
#include <millrace/types.hpp>

namespace pqxx {
class transaction_base;
}

namespace millrace {

/// One run of one task. Lives as long as the handler's call; only that call's thread may use it,
/// except for the stop token, which may be copied anywhere, and progress() and log(), which any thread may call.
class Context {
 public:
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  Context(Context&&) = delete;
  Context& operator=(Context&&) = delete;

  [[nodiscard]] virtual TaskId task_id() const noexcept = 0;
  [[nodiscard]] virtual std::string_view kind() const noexcept = 0;
  [[nodiscard]] virtual std::string_view queue() const noexcept = 0;
  /// The args as the database prints them: the text of a JSON object.
  [[nodiscard]] virtual std::string_view args() const noexcept = 0;
  [[nodiscard]] virtual int attempt() const noexcept = 0;  ///< 1 for the first run.
  [[nodiscard]] virtual int max_attempts() const noexcept = 0;
  [[nodiscard]] virtual LeaseId lease() const noexcept = 0;
  [[nodiscard]] virtual std::string_view worker_id() const noexcept = 0;  ///< A UUID, fresh for each Worker.
  [[nodiscard]] virtual Time scheduled_at() const = 0;                    ///< When the task was due, by the database's clock.
  [[nodiscard]] virtual Time started_at() const = 0;                      ///< When it was claimed, by the database's clock.
  /// The attempt's timeout; none if the task has none.
  [[nodiscard]] virtual std::optional<Milliseconds> timeout() const noexcept = 0;
  /// When the timeout ends, by the local steady clock. At the deadline a stop is requested.
  [[nodiscard]] virtual std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept = 0;
  /// Asked to stop at the deadline, when somebody cancels the task, when its lease is lost, and when the worker's
  /// grace is over. A handler that stops should throw or return an Outcome; a value returned is still a completion. Callbacks of it
  /// run on a thread of the worker that others wait for: they should be short, and must not throw.
  [[nodiscard]] virtual std::stop_token stop_token() const noexcept = 0;
  /// A transaction on a connection of this handler's own, begun by the first call. If the handler returns a result, the
  /// task is completed within it as the last statement before COMMIT: what it wrote and the completion happen exactly once,
  /// together. Any other ending rolls it back, as does a lease that was lost meanwhile. READ COMMITTED; its statements are
  /// cut off at the task's timeout, and cancelled when the run is asked to stop. Neither commit nor abort it yourself. Throws
  /// ConnectionError.
  [[nodiscard]] virtual pqxx::transaction_base& transaction() = 0;
  /// Says how far the run has come: `done` of `total` (0: unknown), with a note of at most 200 characters, which is cut.
  /// The latest is kept, also after the end; see Client::progress. Cheap: it is written down in memory, and recorded a
  /// few times a second and before the task's end is. (If transaction() completes the task, what was said within the last
  /// quarter of a second may be recorded after it.) A run that lost its lease says nothing more.
  /// Throws InvalidArgument if `done` or `total` is negative.
  virtual void progress(std::int64_t done, std::int64_t total = 0, std::string_view note = {}) = 0;
  /// Logs a line, or several, cut to 2000 characters each; empty ones are dropped. The latest 1000 of the task are kept,
  /// over all its runs; see Client::logs. Recorded as progress() is.
  virtual void log(std::string_view text) = 0;

  /// What was said about the task when it was enqueued; none, or empty, if nothing was.
  [[nodiscard]] virtual std::optional<std::string> correlation() const = 0;
  [[nodiscard]] virtual std::optional<std::string> tenant() const = 0;
  [[nodiscard]] virtual std::optional<std::string> traceparent() const = 0;  ///< W3C trace context, valid.
  [[nodiscard]] virtual std::map<std::string, std::string> metadata() const = 0;

  /// These options with this task's correlation id and traceparent where they are unset, and the worker's schema if it is the
  /// default one. For a task that is to exist only if a transaction commits:
  /// `millrace::enqueue(tx, kind, args, context.inherit(options))`, or `definition.enqueue(context, tx, args, options)`.
  [[nodiscard]] virtual EnqueueOptions inherit(EnqueueOptions options = {}) const = 0;
  /// As millrace::enqueue with inherit(options), in a transaction of its own, at once: the task stays although this run may fail
  /// and be repeated, so give it a key. Uses a connection of the handler's own. Throws OutcomeUnknown if that broke meanwhile.
  virtual Enqueued enqueue(std::string_view kind, std::string_view args = "{}", EnqueueOptions options = {}) = 0;

 protected:
  Context() = default;
  ~Context() = default;
};

}  // namespace millrace
