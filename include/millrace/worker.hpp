// Workers: processes, or parts of one, that claim tasks and run handlers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/context.hpp>
#include <millrace/events.hpp>
#include <millrace/exceptions.hpp>
#include <millrace/json_schema.hpp>
#include <millrace/outcome.hpp>
#include <millrace/schedule.hpp>
#include <millrace/task.hpp>
#include <millrace/types.hpp>

namespace spdlog {
class logger;
}

namespace millrace {

/// One queue that a worker serves, with the number of its tasks that may run at once.
struct WorkerQueue {
  std::string name = "default";
  int concurrency = 10;  ///< 1 to 1000: so many threads.
};

struct WorkerOptions {
  ConnectionString database{};                        ///< Default: libpq's environment. Four connections are held open.
  std::string schema = "millrace";                    ///< 1 to 63 bytes.
  std::vector<WorkerQueue> queues = {WorkerQueue{}};  ///< At least one; names differ.
  std::string name{};                                 ///< For people; default host:pid.
  Milliseconds lease_ttl{30'000};     ///< Not heard from for so long, this worker is dead and its tasks are rescued. 1 s to 1 day.
  Milliseconds heartbeat{0};          ///< How often it says that it lives; default lease_ttl / 6. At most lease_ttl / 3.
  Milliseconds poll_interval{1'000};  ///< How often an idle worker looks without being woken. 10 ms to 1 h.
  Milliseconds grace{30'000};         ///< At stop: how long running handlers may finish before they are asked to stop.
  Milliseconds stop_patience{5'000};  ///< After that: how long they have to obey before their tasks are released.
  Milliseconds timeout_grace{
      30'000};                ///< How long a run has to obey after its timeout; then its attempt failed and its thread is left behind.
  bool exit_if_stuck = true;  ///< Whether stop() leaves the process, by _exit(1), when a thread was left behind and still runs.
  int batch = 500;            ///< Most tasks of one claim; 1 to 5000.
  bool listen = true;         ///< false: poll only; no LISTEN, no prepared statement, no session state. For transaction poolers.
  std::shared_ptr<spdlog::logger> logger{};  ///< Default: standard error, from level info.
};

/// What a worker has done since it started.
struct WorkerCounts {
  std::int64_t active = 0;  ///< Handlers running now.
  std::int64_t completed = 0;
  std::int64_t retried = 0;
  std::int64_t failed = 0;
  std::int64_t released = 0;        ///< Given back without being counted, also what was cancelled before it began.
  std::int64_t cancelled = 0;       ///< Runs that ended as cancelled: by somebody, or by the handler's word.
  std::int64_t lost = 0;            ///< Settlements refused because the lease was lost.
  std::int64_t stragglers = 0;      ///< Handlers that did not obey, so that their threads were left behind and replaced.
  std::int64_t events_dropped = 0;  ///< Events that no listener was told of, because listeners were too slow.
};

/// What a preflight found of the live tasks of one kind.
struct PreflightKind {
  std::string kind{};
  std::int64_t live = 0;        ///< Tasks that wait or run.
  std::int64_t unreadable = 0;  ///< Of those, how many have args that this program cannot read.
  bool handled = true;          ///< Whether this program has a handler for it.
  struct Example {
    TaskId id{};
    std::string problem{};
  };
  std::vector<Example> examples{};  ///< The first 10 that cannot be read.
};

/// What a worker knows of a kind beside its handler; Worker::handle takes it from the definition.
struct KindOptions {
  std::vector<std::string> aliases{};  ///< Former names of the kind: their tasks are run by the same handler.
  EnqueueOptions defaults{};           ///< start() registers queue, priority, max_attempts, backoff and timeout: see docs/definitions.md.
  std::optional<JsonSchema> schema{};  ///< Registered too. Args that do not fit make a task a dead letter without a run.
  ExceptionRules exceptions{};         ///< What becomes of a task whose handler throws.
  std::function<std::optional<std::string>(std::string_view)> problem{};  ///< Tells why args cannot be read, for preflight().
};

/// Claims tasks and runs handlers. Any number may share a queue, in any number of processes.
/// Handlers run on the worker's threads, up to `concurrency` at once per queue, so they must be thread-safe.
/// The methods may be called from any thread, but stop() on none of the worker's own; handle(), on() and schedule() only before start.
class Worker {
 public:
  /// Throws InvalidArgument for options out of range. Does not connect.
  explicit Worker(WorkerOptions options);
  /// Stops as stop() does. Not on one of the worker's own threads.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  Worker(Worker&&) = delete;
  Worker& operator=(Worker&&) = delete;

  /// Runs `handler(const Args&, Context&)` for each task of this definition, and of its aliases. It returns the definition's
  /// result, an Outcome of it, a type like std::expected, or (for definitions without a result) nothing. Retry, Fail, Snooze and
  /// Cancel may be thrown; any other exception is a failed attempt, to be retried, unless `rules` say otherwise. Args that cannot be
  /// read, or do not fit the definition's schema, are a failure for good. start() registers the definition's defaults and schema
  /// in the table kinds, for whoever enqueues without the definition.
  /// `handler(const Args&, pqxx::transaction_base&, Context&)` is given context.transaction(): see there.
  /// Throws InvalidArgument("kind") if the kind, or an alias, has a handler already.
  template <class Args, class Result, class Handler>
  void handle(const Task<Args, Result>& task, Handler handler, const ExceptionRules& rules = {}) {
    add(task.kind(), task.wrap(std::move(handler)),
        {.aliases = task.aliases(),
         .defaults = task.defaults(),
         .schema = task.schema(),
         .exceptions = rules,
         .problem = [task](std::string_view args) { return task.problem(args); }});
  }
  /// The same on the level of JSON text. Registered only if `options` has a default, a schema or an alias.
  void handle_raw(std::string kind, RawHandler handler, KindOptions options = {});

  /// Calls `listener` for each of these events of tasks that this worker runs: once it is recorded, or (`started`) just before the
  /// handler begins. Any number may be added, for any events, before start; StateError after it, InvalidArgument if it is empty.
  /// All are called on one thread of the worker's own, one event after the other: a task's in their order, those of different
  /// tasks in about the order in which they were recorded. A slow listener delays the listeners and nothing else: up to
  /// 10,000 events wait, then the oldest are dropped, with a warning and in WorkerCounts::events_dropped. What a listener throws is logged.
  /// Told at most once: not what a crash of this process left untold, nor what befalls a task in other hands, such as the rescue
  /// of a dead worker's tasks. stop() waits for what is left to be told for `stop_patience` at most; then it does as with a handler
  /// that still runs. Without listeners this costs one branch per task.
  void on(Event event, Listener listener);

  /// Reads the args of every live task in this worker's queues with this program, before it is let loose on them: by kind, what
  /// it could not read or has no handler for. Changes nothing, and needs no start(). Throws ConnectionError, SchemaError.
  [[nodiscard]] std::vector<PreflightKind> preflight() const;

  /// Declares a schedule: start() makes it so in the database (see put_schedule), and any worker fires it from then on.
  /// What is no longer declared stays in the database until it is deleted there. Call before start.
  void schedule(std::string name, std::string rule, std::string kind, std::string args = "{}", ScheduleOptions options = {});
  /// The same for a definition, whose defaults its tasks take where `options.task` leaves something unset. Its keys
  /// concern its enqueues: each tick makes its task, unless the schedule's own policies say otherwise.
  template <class Args, class Result>
  void schedule(std::string name, std::string rule, const Task<Args, Result>& task, const Args& args, ScheduleOptions options = {}) {
    options.task = task.merged(std::move(options.task));
    schedule(std::move(name), std::move(rule), task.kind(), task.text(args), std::move(options));
  }

  /// start(), then waits for SIGTERM or SIGINT (or for stop() from another thread, or for Client::stop_worker), then stop(). A second
  /// signal ends the grace at once. Throws what start() throws. Several workers may run() at once, each on a thread of its own: each
  /// signal reaches all of them. The signals' earlier dispositions are restored when the last one is done.
  void run();
  /// Connects, registers and begins to claim. Throws ConnectionError or SchemaError if that fails now, Error if the system gives no
  /// more threads, and StateError if it was started before: a worker starts once. Later losses of the connection are survived: it
  /// reconnects with backoff, listens again and claims at once.
  void start();
  /// Stops claiming, gives back what was not begun, lets handlers finish within `grace`, then asks them to stop and releases
  /// what still runs. If a thread is still in a handler or a listener then, which cannot be ended, this leaves the process by
  /// _exit(1) once all is recorded: what is destroyed at a normal end would be pulled away under that thread. With `exit_if_stuck`
  /// false it returns false instead, and the program should leave so itself. Otherwise true. Harmless when not started. Waits for
  /// the worker's threads, so on one of these, such as in a handler, a listener or a stop callback, it throws StateError: there,
  /// call request_stop().
  bool stop();
  /// Asks for a stop and returns at once, as SIGTERM does: run() then stops; a program that called start() finds stop_wished(), and
  /// calls stop() itself. Any thread may call it, also in a handler or a listener. It cannot be taken back.
  void request_stop() noexcept;

  /// Claims no more until resume(); what has begun goes on, what is here and has not begun is given back. Any thread may
  /// call them, at any time. A pause that somebody asked for from outside is another one: each is resumed by itself.
  void pause();
  void resume();
  [[nodiscard]] bool paused() const noexcept;
  /// Whether somebody asked this worker to stop, from outside (Client::stop_worker, `millrace worker stop`) or by request_stop(). run()
  /// then does; a program that called start() does it itself.
  [[nodiscard]] bool stop_wished() const noexcept;

  /// This worker's UUID.
  [[nodiscard]] const std::string& id() const noexcept;
  [[nodiscard]] WorkerCounts counts() const;

  struct Impl;

 private:
  void add(std::string kind, RawHandler handler, KindOptions options, bool declared = true);
  std::shared_ptr<Impl> impl_;
};

}  // namespace millrace
