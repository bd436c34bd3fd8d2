// A connection of its own for programs that have no transaction to enqueue in, and for looking at tasks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/enqueue.hpp>
#include <millrace/kind.hpp>
#include <millrace/lock.hpp>
#include <millrace/manage.hpp>
#include <millrace/schedule.hpp>
#include <millrace/tail.hpp>
#include <millrace/types.hpp>

namespace millrace {

struct ClientOptions {
  ConnectionString database{};           ///< Default: libpq's environment.
  std::string schema = "millrace";       ///< 1 to 63 bytes.
  Milliseconds connect_timeout{10'000};  ///< For each attempt to connect: one second to 24 days; what is beyond is taken for these.
  bool listen = true;                    ///< false: wait() polls, and no session state is kept. For transaction poolers.
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
  std::optional<TaskId> forwarded_to{};    ///< The task that took its place in a dead-letter queue.
  std::optional<TaskId> forwarded_from{};  ///< The dead letter that it was made from.
};

/// A worker that is here.
struct WorkerRecord {
  std::string id{};  ///< UUID.
  std::string name{};
  std::string host{};
  int pid = 0;
  std::string version{};
  std::vector<std::string> queues{};
  std::optional<std::vector<std::string>> kinds{};  ///< What it has handlers for, and takes; none: it takes all.
  std::string state{};                              ///< running, paused or stopping, as it says itself.
  std::string wish{};                               ///< run, pause or stop: what is asked of it.
  std::int64_t running = 0;                         ///< Tasks that it holds.
  std::int64_t completed = 0;                       ///< Its runs so far that completed, and that failed; written down with its heartbeat.
  std::int64_t failed = 0;
  Time started_at{};
  Time seen_at{};
  bool alive = true;  ///< Seen within its lease_ttl.
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
  /// A page of the tasks that fit, newest first. What it reads:
  /// - pending, scheduled, retrying, running: what is live; its ids are sorted, so a backlog of a million costs about a second;
  /// - failed, dead_from, dead_until: the ids of the dead letters, by their index;
  /// - ids, correlation, tenant, tags: these, by an index;
  /// - anything else (completed, cancelled, no status, kind or queue alone, created and finished times): the history, from the newest
  ///   task backwards until the page is full. That is a scan, and where what is asked for is rare it reads the whole table.
  [[nodiscard]] std::vector<TaskRecord> list(const TaskFilter& filter = {});
  /// How many tasks fit, by queue, kind and status. Reads all of them, by the same roads; without one it scans the whole table.
  [[nodiscard]] std::vector<TaskCount> count(const TaskFilter& filter = {});
  /// How many tasks of a queue could be claimed now.
  [[nodiscard]] std::int64_t depth(const std::string& queue = "default");

  /// Cancels a task: `cancelled`, or `running` if it runs and its worker was asked to stop it.
  /// Throws NotFound, or StateError if it has completed or failed.
  Status cancel(TaskId id);
  /// Revives a failed or cancelled task with a new budget of attempts; its error history stays. Throws NotFound or StateError.
  Status retry(TaskId id);
  /// Gives a task that waits for its run another priority, or another time: then, or now. Returns its status. Throws NotFound, or
  /// StateError if it runs or has ended.
  Status reprioritise(TaskId id, Priority priority);
  Status reschedule(TaskId id, Time run_at);
  Status run_now(TaskId id);
  /// Deletes a task and all that hangs on it: its ticket, progress and log lines. Throws NotFound, or StateError if it runs.
  void delete_task(TaskId id);

  /// What `action` would do now to the tasks that fit; changes nothing. Throws InvalidArgument as the action itself does: for a filter
  /// that says nothing, and for a status that the action cannot change.
  [[nodiscard]] std::vector<PlanRow> plan(Action action, const TaskFilter& filter);
  /// Changes all tasks that fit, in batches of 1000, each in a transaction of its own: what was done stays done if a later batch
  /// throws (OutcomeUnknown: of the last one nobody knows). Waits for nobody, and keeps no worker waiting: what a claim has in hand is
  /// counted as held. Tasks that come to fit meanwhile may be left out. Other calls get their turn between the batches. An empty filter is
  /// refused. Without a status, cancel, reprioritise, reschedule and run_tasks_now mean tasks that have not ended, retry those that
  /// failed, delete all; running ones are asked to stop by cancel and left alone by the others.
  Changes cancel_tasks(const TaskFilter& filter, const OnChanges& on_changes = {});
  Changes retry_tasks(const TaskFilter& filter, const OnChanges& on_changes = {});
  Changes reprioritise_tasks(const TaskFilter& filter, Priority priority, const OnChanges& on_changes = {});
  Changes reschedule_tasks(const TaskFilter& filter, Time run_at, const OnChanges& on_changes = {});
  Changes run_tasks_now(const TaskFilter& filter, const OnChanges& on_changes = {});
  Changes delete_tasks(const TaskFilter& filter, const OnChanges& on_changes = {});

  /// From now on, what becomes a dead letter in `queue` is forwarded, in the transaction that records it: a new task of the same kind,
  /// args and options in `target`. From there it is not forwarded again, unless `target` has a target of its own. None: no more. Throws
  /// InvalidArgument("target") if dead letters would come back to `queue`.
  void set_dead_queue(const std::string& queue, const std::optional<std::string>& target);
  /// The same for what becomes a dead letter of a kind, whichever queue it is in: it goes before the queue's. What was forwarded
  /// already goes by its queue alone.
  void set_dead_queue_of_kind(const std::string& kind, const std::optional<std::string>& target);
  /// The kinds and queues whose dead letters are forwarded, by name.
  [[nodiscard]] std::vector<DeadQueue> dead_queues();

  /// Waits until the task is completed, failed or cancelled, and returns its row; none if it is not after `timeout` (0: looks
  /// once; at most 10 years). Woken by LISTEN, so within milliseconds; with `listen` false in the options it looks, up to four times a
  /// second. `on_progress` is called, on this thread, with each progress that is seen meanwhile. A lost connection is replaced, for up to a
  /// minute. Uses a connection of its own, kept for the next call: other calls need not wait for it. Throws NotFound if there is no such
  /// task, or no more, and what `on_progress` throws.
  std::optional<TaskRecord> wait(TaskId id, Milliseconds timeout = std::chrono::days(3650),
                                 const std::function<void(const Progress&)>& on_progress = {});
  /// How far its latest run has come; none if that has not said, or the task was claimed anew since.
  [[nodiscard]] std::optional<Progress> progress(TaskId id);
  /// The lines that its handlers logged after line `after`, oldest first: at most `limit` (1 to 1000). The latest 1000 are kept.
  [[nodiscard]] std::vector<LogLine> logs(TaskId id, std::int64_t after = 0, int limit = 1000);

  /// Follows a live queue: calls `on_transition`, on this thread and in about the order of time, with each transition that is seen, until
  /// `stop` is requested. It looks every `options.interval`, at a bounded number of rows whatever the queue holds, and costs the queue
  /// nothing else: no trigger, no write, no lock. So what comes and goes between two looks may be missed: docs/events.md. Uses a connection
  /// of its own; a lost one is replaced, for up to a minute. Throws InvalidArgument for options out of range, and what `on_transition`
  /// throws.
  void tail(const TailOptions& options, const std::function<void(const Transition&)>& on_transition, const std::stop_token& stop);

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

  /// As the functions of millrace/lock.hpp, each in a transaction of its own. acquire_lock() tries again until `wait` (0 to 365 days) is
  /// over: after 10 ms, and ever more seldom, up to four times a second; other calls go between. After OutcomeUnknown the same owner may
  /// call it again and gets the same token.
  LockAttempt acquire_lock(std::string_view name, std::string_view owner, Milliseconds ttl, Milliseconds wait = Milliseconds(0));
  Time extend_lock(std::string_view name, LockToken token, Milliseconds ttl);
  bool release_lock(std::string_view name, LockToken token);
  [[nodiscard]] std::optional<LockRecord> lock_holder(std::string_view name);
  /// All that are held, by name.
  [[nodiscard]] std::vector<LockRecord> locks();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace
