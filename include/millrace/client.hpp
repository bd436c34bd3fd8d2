// A connection of its own for programs that have no transaction to enqueue in, and for looking at tasks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/enqueue.hpp>
#include <millrace/kind.hpp>
#include <millrace/schedule.hpp>
#include <millrace/types.hpp>

namespace millrace {

struct ClientOptions {
  ConnectionString database{};           ///< Default: libpq's environment.
  std::string schema = "millrace";       ///< 1 to 63 bytes.
  Milliseconds connect_timeout{10'000};  ///< For each attempt to connect; at least one second.
  bool listen = true;                    ///< false: wait() polls. For transaction poolers, which forward no NOTIFY.
};

/// One failed attempt of a task.
struct TaskError {
  int attempt = 0;
  Time at{};
  std::string worker{};   ///< UUID of the worker.
  std::string message{};  ///< Valid UTF-8, at most 4096 characters.
};

/// A task's row.
struct TaskRecord {
  TaskId id{};
  std::string kind{};
  std::string queue{};
  Status status = Status::pending;
  Priority priority{};
  int attempt = 0;
  int max_attempts = 0;
  Time run_at{};
  Time created_at{};
  std::optional<Time> started_at{};
  std::optional<Time> finished_at{};
  std::optional<Time> dead_at{};
  std::optional<LeaseId> lease{};
  std::optional<std::string> worker{};
  std::optional<Milliseconds> timeout{};
  std::optional<std::string> backoff{};  ///< JSON text; none means the default policy.
  std::string args{};                    ///< JSON text of an object.
  std::optional<std::string> result{};   ///< JSON text; none if there is none.
  std::vector<TaskError> errors{};       ///< The latest 10, oldest first.
  std::optional<Time> expires_at{};
  std::optional<std::string> reason{};  ///< Why it was cancelled: "expired"; none if somebody cancelled it.
  std::optional<std::string> correlation{};
  std::optional<std::string> tenant{};
  std::vector<std::string> tags{};
  std::map<std::string, std::string> metadata{};
  std::optional<std::string> traceparent{};
};

/// A worker that is here.
struct WorkerRecord {
  std::string id{};  ///< UUID.
  std::string name{};
  std::string host{};
  int pid = 0;
  std::string version{};
  std::vector<std::string> queues{};
  std::string state{};         ///< running, paused or stopping, as it says itself.
  std::string wish{};          ///< run, pause or stop: what is asked of it.
  std::int64_t running = 0;    ///< Tasks that it holds.
  std::int64_t completed = 0;  ///< Its runs so far that completed, and that failed; written down with its heartbeat.
  std::int64_t failed = 0;
  Time started_at{};
  Time seen_at{};
  bool alive = true;  ///< Seen within its lease_ttl.
};

/// Which tasks to list. Unset fields match everything.
struct TaskFilter {
  std::optional<Status> status{};
  std::optional<std::string> queue{};
  std::optional<std::string> kind{};
  std::optional<std::string> correlation{};
  std::optional<std::string> tenant{};
  std::vector<std::string> tags{};  ///< All of them.
  std::optional<TaskId> before{};   ///< Only tasks with a smaller id: the next page.
  int limit = 50;                   ///< 1 to 1000.
};

/// What a queue holds now, and what happened in it within the last hour.
struct QueueStats {
  std::string queue{};
  std::int64_t ready = 0;     ///< Could be claimed now.
  std::int64_t upcoming = 0;  ///< Scheduled, or waiting to be retried.
  std::int64_t running = 0;
  std::int64_t failed = 0;                     ///< Dead letters.
  std::optional<Milliseconds> oldest_ready{};  ///< How long the longest waiting ready task has been due.
  std::int64_t completed_last_hour = 0;
  std::int64_t retried_last_hour = 0;
  std::int64_t failed_last_hour = 0;
  std::int64_t workers = 0;  ///< Live workers of this queue.
};

/// How far the latest run of a task has come, as its handler said.
struct Progress {
  std::int64_t done = 0;
  std::int64_t total = 0;  ///< 0: unknown.
  std::string note{};      ///< At most 200 characters.
  int attempt = 0;
  Time at{};
};

/// A line that a task's handler logged.
struct LogLine {
  std::int64_t seq = 0;  ///< 1 for the task's first line, over all its runs.
  int attempt = 0;
  Time at{};
  std::string text{};  ///< At most 2000 characters, without line ends.
};

/// One connection to the queue. Connects on first use, and again after a connection was lost.
/// Thread-safe: calls from several threads take turns. Every call may throw ConnectionError (nothing was done, or only
/// read), SchemaError (run `millrace migrate up`) or DatabaseError.
class Client {
 public:
  explicit Client(ClientOptions options = {});
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// As millrace::enqueue, in a transaction of its own. `options.schema` is ignored: the client's is used.
  /// Throws OutcomeUnknown if the connection broke after the statement was sent.
  Enqueued enqueue(std::string_view kind, std::string_view args = "{}", const EnqueueOptions& options = {});
  /// As millrace::enqueue_many, all in one transaction of its own.
  std::vector<TaskId> enqueue_many(std::string_view kind, std::span<const std::string> args, const EnqueueOptions& options = {});

  /// The task's row, or none.
  [[nodiscard]] std::optional<TaskRecord> get(TaskId id);
  /// Tasks, newest first. Live and failed ones, and those with a tag, tenant or correlation id, are found by an index. Completed
  /// and cancelled ones, and a kind or queue without a status, are looked for from the newest task backwards until the page is
  /// full: where they are rare, that reads much of the history.
  [[nodiscard]] std::vector<TaskRecord> list(const TaskFilter& filter = {});

  /// Cancels a task: `cancelled`, or `running` if it runs and its worker was asked to stop it.
  /// Throws NotFound, or StateError if it has completed or failed.
  Status cancel(TaskId id);
  /// Revives a failed or cancelled task with a new budget of attempts. Throws NotFound or StateError.
  Status retry(TaskId id);

  /// Waits until the task is completed, failed or cancelled, and returns its row; none if it is not after `timeout` (0: looks
  /// once; at most 10 years). Woken by LISTEN, so within milliseconds; with `listen` false in the options it looks, up to four times a
  /// second. `on_progress` is called, on this thread, with each progress that is seen meanwhile. A lost connection is replaced, for up to a
  /// minute. Uses a connection of its own, kept for the next call: other calls need not wait for it. Throws NotFound if there is no such
  /// task, or no more.
  std::optional<TaskRecord> wait(TaskId id, Milliseconds timeout = std::chrono::days(3650),
                                 const std::function<void(const Progress&)>& on_progress = {});
  /// How far its latest run has come; none if that has not said, or the task was claimed anew since.
  [[nodiscard]] std::optional<Progress> progress(TaskId id);
  /// The lines that its handlers logged after line `after`, oldest first: at most `limit` (1 to 1000). The latest 1000 are kept.
  [[nodiscard]] std::vector<LogLine> logs(TaskId id, std::int64_t after = 0, int limit = 1000);

  [[nodiscard]] std::vector<QueueStats> stats();

  /// What workers declared of the kinds that they handle, by name: of all, or of one.
  [[nodiscard]] std::vector<KindRecord> kinds(const std::optional<std::string>& kind = {});
  /// Forgets what was declared of a kind that nobody handles any more. Throws NotFound.
  void forget_kind(const std::string& kind);

  /// The workers that are here, oldest first.
  [[nodiscard]] std::vector<WorkerRecord> workers();
  /// Asks a worker (by its id, the beginning of it, or its name) to claim no more; to claim again; to end, as SIGTERM does,
  /// which cannot be taken back. It hears of it at once, or by its next heartbeat. Each returns the worker's id, and throws NotFound,
  /// InvalidArgument("worker") if there are several, StateError if it was asked to stop.
  std::string pause_worker(const std::string& worker);
  std::string resume_worker(const std::string& worker);
  std::string stop_worker(const std::string& worker);

  /// As millrace::put_schedule, in a transaction of its own. `options.task.schema` is ignored: the client's is used.
  Put put_schedule(std::string_view name, std::string_view rule, std::string_view kind, std::string_view args = "{}",
                   const ScheduleOptions& options = {});
  /// All schedules by name, or the one of that name.
  [[nodiscard]] std::vector<ScheduleRecord> schedules(const std::optional<std::string>& name = {});
  /// What became of its latest ticks, newest first; `count` is 1 to 1000, which is about what is kept.
  [[nodiscard]] std::vector<PastTick> past_ticks(const std::string& name, int count = 20);
  /// No more ticks until it is resumed. Harmless if it is paused. Throws NotFound, as do the following.
  void pause_schedule(const std::string& name);
  /// Goes on with the first tick after now, and returns it (none: the rule has no more).
  std::optional<Time> resume_schedule(const std::string& name);
  /// Its tasks stay.
  void delete_schedule(const std::string& name);
  /// Adds a task of this schedule now, beside its ticks.
  TaskId run_schedule(const std::string& name);
  /// The next `count` (1 to 1000) ticks from `from` (default: now) on, those that a change of clocks moves or drops marked:
  /// of a schedule, or of a rule that is nobody's (of the options only zone, gap, fold and anchor matter).
  [[nodiscard]] std::vector<TickRecord> preview_schedule(const std::string& name, std::optional<Time> from = {}, int count = 20);
  [[nodiscard]] std::vector<TickRecord> preview_rule(const std::string& rule, const ScheduleOptions& options = {},
                                                     std::optional<Time> from = {}, int count = 20);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace
