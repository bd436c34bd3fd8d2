#include <millrace/client.hpp>

#include "base/text.hpp"
#include "engine/enqueue.hpp"
#include "engine/follow.hpp"
#include "engine/kinds.hpp"
#include "engine/locks.hpp"
#include "engine/manage.hpp"
#include "engine/progress.hpp"
#include "engine/schedules.hpp"
#include "engine/tasks.hpp"
#include "engine/watch.hpp"
#include "postgres/connection.hpp"

#include <fmt/format.h>

#include <mutex>
#include <utility>

namespace millrace {

struct Client::Impl {
  explicit Impl(ClientOptions given) : options(std::move(given)) { base::check_schema_name(options.schema); }

  // The open connection, made anew if the last one broke.
  postgres::Connection& connection() {
    if (!link || link->broken()) {
      link.reset();
      link = connect();
    }
    return *link;
  }
  [[nodiscard]] std::unique_ptr<postgres::Connection> connect() const {
    return std::make_unique<postgres::Connection>(postgres::Dial{.url = options.database,
                                                                 .application = "millrace client",
                                                                 .schema = options.schema,
                                                                 .connect_timeout = options.connect_timeout,
                                                                 .session = options.listen});
  }

  // Sessions that waits have left behind, one for each that was ever under way beside others.
  std::unique_ptr<postgres::Connection> take_idle() {
    const std::lock_guard lock(idle_mutex);
    if (idle.empty()) return {};
    auto last = std::move(idle.back());
    idle.pop_back();
    return last;
  }
  void put_idle(std::unique_ptr<postgres::Connection> one) {
    if (!one) return;
    const std::lock_guard lock(idle_mutex);
    idle.push_back(std::move(one));
  }

  // Runs one write. A connection that breaks under it leaves its outcome unknown.
  template <class Write>
  auto write(const Write& body) {
    const std::lock_guard lock(mutex);
    postgres::Connection& open = connection();
    try {
      return body(open);
    } catch (const ConnectionError& e) {
      throw OutcomeUnknown(fmt::format("the connection broke before the answer came, so it may or may not have been done: {}", e.what()));
    }
  }
  template <class Read>
  auto read(const Read& body) {
    const std::lock_guard lock(mutex);
    return body(connection());
  }

  // One task's priority or time.
  Status move(TaskId id, const engine::Change& how) {
    return write([&](postgres::Connection& open) { return engine::move_task(open, options.schema, id, how); });
  }
  // Many tasks, in batches; between them other threads get their turn.
  Changes change(const engine::Change& how, const TaskFilter& tasks, const OnChanges& on_changes) {
    const std::string filter = engine::whole_filter_json(tasks);
    return engine::change_all(
        [&](std::int64_t after) {
          return write([&](postgres::Connection& open) { return engine::change_batch(open, options.schema, how, filter, after); });
        },
        on_changes);
  }

  static engine::Run through(postgres::Connection& open) {
    return [&open](const std::string& sql, const postgres::Params& params) { return open.run(sql, params); };
  }

  ClientOptions options;
  std::mutex mutex;
  std::unique_ptr<postgres::Connection> link;
  std::mutex idle_mutex;
  std::vector<std::unique_ptr<postgres::Connection>> idle;
};

Client::Client(ClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

Enqueued Client::enqueue(std::string_view kind, std::string_view args, const EnqueueOptions& options) {
  EnqueueOptions here = options;
  here.schema = impl_->options.schema;
  return impl_->write([&](postgres::Connection& open) { return engine::enqueue(Impl::through(open), kind, args, here); });
}

std::vector<TaskId> Client::enqueue_many(std::string_view kind, std::span<const std::string> args, const EnqueueOptions& options) {
  EnqueueOptions here = options;
  here.schema = impl_->options.schema;
  return impl_->write([&](postgres::Connection& open) {
    postgres::Connection::Scope scope(open);
    auto ids = engine::enqueue_many(Impl::through(open), kind, args, here);
    scope.commit();
    return ids;
  });
}

std::optional<TaskRecord> Client::get(TaskId id) {
  return impl_->read([&](postgres::Connection& open) { return engine::get_task(open, impl_->options.schema, id); });
}
std::vector<TaskRecord> Client::list(const TaskFilter& filter) {
  return impl_->read([&](postgres::Connection& open) { return engine::list_tasks(open, impl_->options.schema, filter); });
}
Status Client::cancel(TaskId id) {
  return impl_->write([&](postgres::Connection& open) { return engine::cancel_task(open, impl_->options.schema, id); });
}
Status Client::retry(TaskId id) {
  return impl_->write([&](postgres::Connection& open) { return engine::retry_task(open, impl_->options.schema, id); });
}
std::vector<TaskCount> Client::count(const TaskFilter& filter) {
  return impl_->read([&](postgres::Connection& open) { return engine::count_tasks(open, impl_->options.schema, filter); });
}
std::int64_t Client::depth(const std::string& queue) {
  return impl_->read([&](postgres::Connection& open) { return engine::queue_depth(open, impl_->options.schema, queue); });
}
Status Client::reprioritise(TaskId id, Priority priority) {
  return impl_->move(id, {.action = Action::reprioritise, .priority = priority});
}
Status Client::reschedule(TaskId id, Time run_at) { return impl_->move(id, {.action = Action::reschedule, .run_at = run_at}); }
Status Client::run_now(TaskId id) { return impl_->move(id, {.action = Action::run_now}); }
void Client::delete_task(TaskId id) {
  impl_->write([&](postgres::Connection& open) { engine::delete_task(open, impl_->options.schema, id); });
}
std::vector<PlanRow> Client::plan(Action action, const TaskFilter& filter) {
  return impl_->read([&](postgres::Connection& open) { return engine::plan_change(open, impl_->options.schema, action, filter); });
}
Changes Client::cancel_tasks(const TaskFilter& filter, const OnChanges& on_changes) {
  return impl_->change({.action = Action::cancel}, filter, on_changes);
}
Changes Client::retry_tasks(const TaskFilter& filter, const OnChanges& on_changes) {
  return impl_->change({.action = Action::retry}, filter, on_changes);
}
Changes Client::reprioritise_tasks(const TaskFilter& filter, Priority priority, const OnChanges& on_changes) {
  return impl_->change({.action = Action::reprioritise, .priority = priority}, filter, on_changes);
}
Changes Client::reschedule_tasks(const TaskFilter& filter, Time run_at, const OnChanges& on_changes) {
  return impl_->change({.action = Action::reschedule, .run_at = run_at}, filter, on_changes);
}
Changes Client::run_tasks_now(const TaskFilter& filter, const OnChanges& on_changes) {
  return impl_->change({.action = Action::run_now}, filter, on_changes);
}
Changes Client::delete_tasks(const TaskFilter& filter, const OnChanges& on_changes) {
  return impl_->change({.action = Action::remove}, filter, on_changes);
}
void Client::set_dead_queue(const std::string& queue, const std::optional<std::string>& target) {
  impl_->write([&](postgres::Connection& open) { engine::set_dead_queue(open, impl_->options.schema, queue, target); });
}
void Client::set_dead_queue_of_kind(const std::string& kind, const std::optional<std::string>& target) {
  impl_->write([&](postgres::Connection& open) { engine::set_dead_queue_of_kind(open, impl_->options.schema, kind, target); });
}
std::vector<DeadQueue> Client::dead_queues() {
  return impl_->read([&](postgres::Connection& open) { return engine::dead_queues(open, impl_->options.schema); });
}
std::optional<TaskRecord> Client::wait(TaskId id, Milliseconds timeout, const std::function<void(const Progress&)>& on_progress) {
  using Clock = std::chrono::steady_clock;
  constexpr Milliseconds longest = std::chrono::days(3650);
  if (timeout < Milliseconds{0} || timeout > longest)
    throw InvalidArgument("timeout", fmt::format("is {} ms; allowed is 0 to 10 years", timeout.count()));
  const auto until = Clock::now() + timeout;
  const std::string& schema = impl_->options.schema;
  engine::Watch watch([this] { return impl_->connect(); }, impl_->take_idle(), schema, id, static_cast<bool>(on_progress),
                      impl_->options.listen);
  std::optional<TaskRecord> ended;
  std::optional<Progress> news;
  std::optional<Time> told;
  watch.run(
      [&](postgres::Connection& open) {
        const auto status = engine::get_status(open, schema, id);
        if (!status) throw NotFound(fmt::format("there is no task {}", id.value));
        if (on_progress) {
          if (auto progress = engine::get_progress(open, schema, id); progress && progress->at != told) {
            told = progress->at;
            news = std::move(progress);
          }
        }
        if (*status != Status::completed && *status != Status::failed && *status != Status::cancelled) return false;
        ended = engine::get_task(open, schema, id);
        return true;
      },
      [&] {
        if (const auto progress = std::exchange(news, std::nullopt)) on_progress(*progress);
      },
      until);
  impl_->put_idle(watch.take_link());
  return ended;
}
std::optional<Progress> Client::progress(TaskId id) {
  return impl_->read([&](postgres::Connection& open) { return engine::get_progress(open, impl_->options.schema, id); });
}
std::vector<LogLine> Client::logs(TaskId id, std::int64_t after, int limit) {
  return impl_->read([&](postgres::Connection& open) { return engine::get_logs(open, impl_->options.schema, id, after, limit); });
}
void Client::tail(const TailOptions& options, const std::function<void(const Transition&)>& on_transition, const std::stop_token& stop) {
  engine::follow([this] { return impl_->connect(); }, impl_->options.schema, options, on_transition, stop);
}
std::vector<QueueStats> Client::stats() {
  return impl_->read([&](postgres::Connection& open) { return engine::queue_stats(open, impl_->options.schema); });
}

std::vector<KindRecord> Client::kinds(const std::optional<std::string>& kind) {
  return impl_->read([&](postgres::Connection& open) { return engine::list_kinds(open, impl_->options.schema, kind); });
}
void Client::forget_kind(const std::string& kind) {
  impl_->write([&](postgres::Connection& open) { engine::forget_kind(open, impl_->options.schema, kind); });
}

std::vector<WorkerRecord> Client::workers() {
  return impl_->read([&](postgres::Connection& open) { return engine::list_workers(open, impl_->options.schema); });
}
std::string Client::pause_worker(const std::string& worker) {
  return impl_->write(
      [&](postgres::Connection& open) { return engine::order_worker(open, impl_->options.schema, "pause_worker", worker); });
}
std::string Client::resume_worker(const std::string& worker) {
  return impl_->write(
      [&](postgres::Connection& open) { return engine::order_worker(open, impl_->options.schema, "resume_worker", worker); });
}
std::string Client::stop_worker(const std::string& worker) {
  return impl_->write([&](postgres::Connection& open) { return engine::order_worker(open, impl_->options.schema, "stop_worker", worker); });
}

Put Client::put_schedule(std::string_view name, std::string_view rule, std::string_view kind, std::string_view args,
                         const ScheduleOptions& options) {
  ScheduleOptions here = options;
  here.task.schema = impl_->options.schema;
  return impl_->write([&](postgres::Connection& open) { return engine::put_schedule(Impl::through(open), name, rule, kind, args, here); });
}
std::vector<ScheduleRecord> Client::schedules(const std::optional<std::string>& name) {
  return impl_->read([&](postgres::Connection& open) { return engine::list_schedules(open, impl_->options.schema, name); });
}
std::vector<PastTick> Client::past_ticks(const std::string& name, int count) {
  return impl_->read([&](postgres::Connection& open) { return engine::past_ticks(open, impl_->options.schema, name, count); });
}
void Client::pause_schedule(const std::string& name) {
  impl_->write([&](postgres::Connection& open) { engine::pause_schedule(open, impl_->options.schema, name); });
}
std::optional<Time> Client::resume_schedule(const std::string& name) {
  return impl_->write([&](postgres::Connection& open) { return engine::resume_schedule(open, impl_->options.schema, name); });
}
void Client::delete_schedule(const std::string& name) {
  impl_->write([&](postgres::Connection& open) { engine::delete_schedule(open, impl_->options.schema, name); });
}
TaskId Client::run_schedule(const std::string& name) {
  return impl_->write([&](postgres::Connection& open) { return engine::run_schedule(open, impl_->options.schema, name); });
}
std::vector<TickRecord> Client::preview_schedule(const std::string& name, std::optional<Time> from, int count) {
  return impl_->read([&](postgres::Connection& open) { return engine::preview_schedule(open, impl_->options.schema, name, from, count); });
}
std::vector<TickRecord> Client::preview_rule(const std::string& rule, const ScheduleOptions& options, std::optional<Time> from, int count) {
  ScheduleOptions here = options;
  here.task.schema = impl_->options.schema;
  return impl_->read([&](postgres::Connection& open) { return engine::preview_rule(open, rule, here, from, count); });
}

LockAttempt Client::acquire_lock(std::string_view name, std::string_view owner, Milliseconds ttl, Milliseconds wait) {
  return engine::keep_trying(
      [&] {
        return impl_->write(
            [&](postgres::Connection& open) { return engine::acquire_lock(Impl::through(open), impl_->options.schema, name, owner, ttl); });
      },
      wait);
}
Time Client::extend_lock(std::string_view name, LockToken token, Milliseconds ttl) {
  return impl_->write(
      [&](postgres::Connection& open) { return engine::extend_lock(Impl::through(open), impl_->options.schema, name, token, ttl); });
}
bool Client::release_lock(std::string_view name, LockToken token) {
  return impl_->write(
      [&](postgres::Connection& open) { return engine::release_lock(Impl::through(open), impl_->options.schema, name, token); });
}
std::optional<LockRecord> Client::lock_holder(std::string_view name) {
  return impl_->read([&](postgres::Connection& open) { return engine::lock_holder(Impl::through(open), impl_->options.schema, name); });
}
std::vector<LockRecord> Client::locks() {
  return impl_->read([&](postgres::Connection& open) { return engine::list_locks(Impl::through(open), impl_->options.schema); });
}

}  // namespace millrace
