#include <millrace/worker.hpp>

#include "base/text.hpp"
#include "engine/schedules.hpp"
#include "engine/schema_check.hpp"
#include "worker/claimer.hpp"
#include "worker/completer.hpp"
#include "worker/deadlines.hpp"
#include "worker/executor.hpp"
#include "worker/heart.hpp"
#include "worker/inside.hpp"
#include "worker/interrupt.hpp"
#include "worker/kinds.hpp"
#include "worker/listener.hpp"
#include "worker/preflight.hpp"
#include "worker/signals.hpp"
#include "worker/state.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>

namespace millrace {

using worker::Clock;
using worker::Settlement;
using worker::State;
using worker::StopCause;

struct Worker::Impl {
  explicit Impl(WorkerOptions options)
      : state(std::make_shared<State>(std::move(options))), stop_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    state->listener_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd < 0 || state->listener_fd < 0)
      throw Error(fmt::format("no file descriptor is left for a worker: {}", std::strerror(errno)));
    state->on_stop_wish = [this] { ::eventfd_write(stop_fd, 1); };
  }
  ~Impl() {
    ::close(stop_fd);
    ::close(state->listener_fd);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  Impl(Impl&&) = delete;
  Impl& operator=(Impl&&) = delete;

  void start();
  void start_threads(std::unique_ptr<postgres::Connection> link);
  bool stop();
  bool end();
  void check_not_started(const char* what) const;
  void release_unstarted();
  bool wait_until_ended(Clock::time_point until);
  void start_executor(worker::Serving& serving);
  void release_running();
  bool leave_stuck();
  bool end_announcer();
  void say_goodbye();

  std::shared_ptr<State> state;
  std::mutex lifecycle;
  bool started = false;
  bool over = false;
  std::atomic<bool> hurry{false};  // a second signal: no more grace
  int stop_fd;
  std::thread claimer, completer, deadlines, heart, listener, announcer;
  struct Executor {
    worker::Slot* slot;
    std::thread thread;
  };
  std::vector<Executor> executors;  // written by start() and then by who keeps the deadlines, until that has ended
};

void Worker::Impl::start_executor(worker::Serving& serving) {
  // Threads that were left behind and have come back.
  std::erase_if(executors, [](Executor& one) {
    const bool back = one.slot->abandoned() && !one.slot->left_behind();
    if (back) one.thread.join();
    return back;
  });
  worker::Slot& slot = serving.slots.add();
  executors.push_back({&slot, std::thread([shared = state, queue = &serving, own = &slot] { worker::execute(shared, *queue, *own); })});
}

void Worker::Impl::start() {
  const std::lock_guard lock(lifecycle);
  if (started) throw StateError("the worker was started already");
  if (over) throw StateError("a worker starts once; make another one");
  auto link = std::make_unique<postgres::Connection>(postgres::Dial{.url = state->options.database,
                                                                    .application = "millrace worker claimer",
                                                                    .schema = state->options.schema,
                                                                    .session = state->options.listen});
  engine::check_schema(*link, state->options.schema);
  state->register_worker(*link);
  if (state->options.listen) link->run(fmt::format("SELECT {}.attach_session($1)", state->schema), postgres::Params().text(state->id));
  worker::register_kinds(*state, *link);
  for (const auto& one : state->schedules) {
    const auto put = engine::put_schedule([&](const std::string& sql, const postgres::Params& params) { return link->run(sql, params); },
                                          one.name, one.rule, one.kind, one.args, one.options);
    if (put != Put::unchanged) state->log->info("schedule {} {}", one.name, put == Put::created ? "created" : "changed");
  }
  started = true;
  try {
    start_threads(std::move(link));
  } catch (const std::system_error& e) {
    end();
    throw Error(fmt::format("the worker's threads cannot be started: {}", e.what()));
  }
  std::string served;
  for (const WorkerQueue& queue : state->options.queues)
    served += fmt::format("{}{} ({})", served.empty() ? "" : ", ", queue.name, queue.concurrency);
  state->log->info("worker {} serves {}", state->options.name, served);
}

void Worker::Impl::start_threads(std::unique_ptr<postgres::Connection> link) {
  const auto thread = [this](auto body) {
    return std::thread([shared = state, body = std::move(body)]() mutable {
      const worker::Inside inside(shared.get());
      body(*shared);
    });
  };
  for (const auto& serving : state->queues) {
    for (int i = 0; i < serving->lane.concurrency(); ++i) start_executor(*serving);
  }
  state->replace_executor = [this](worker::Serving& serving) { start_executor(serving); };
  if (state->announcer.wanted()) announcer = thread([](State& shared) { shared.announcer.run(*shared.log); });
  completer = thread([](State& shared) { worker::Completer(shared).run(); });
  deadlines = thread([](State& shared) { worker::Deadlines(shared).run(); });
  heart = thread([](State& shared) { worker::Heart(shared).run(); });
  if (state->options.listen) listener = thread([](State& shared) { worker::listen(shared); });
  // Last: from here on tasks come.
  claimer = thread([open = std::move(link)](State& shared) mutable { worker::Claimer(shared, std::move(open)).run(); });
}

void Worker::Impl::check_not_started(const char* what) const {
  if (started || over) throw StateError(fmt::format("{} before the worker starts", what));
}

void Worker::Impl::release_unstarted() {
  for (const auto& serving : state->queues) {
    for (const worker::Claimed& task : serving->lane.withdraw()) {
      state->outbox.add({.kind = Settlement::Kind::release, .batch = task.batch, .row = task.row});
    }
    serving->lane.close();
  }
}

bool Worker::Impl::wait_until_ended(Clock::time_point until) {
  using namespace std::chrono_literals;
  for (;;) {
    if (state->idle()) return true;
    if (Clock::now() >= until || hurry) return false;
    std::this_thread::sleep_for(2ms);
  }
}

void Worker::Impl::release_running() {
  for (const auto& serving : state->queues) {
    serving->slots.each([&](worker::Slot& slot) {
      if (const auto task = slot.abandon()) {
        state->tally.straggled();
        state->log->error("task {} did not stop when asked; it is released and its thread left behind", task->id().value);
        state->outbox.add({.kind = Settlement::Kind::release, .batch = task->batch, .row = task->row});
        serving->lane.forget_run();
      }
    });
  }
}

// Joins the executors; tells whether one could not be joined, because it runs a handler that does not obey.
bool Worker::Impl::leave_stuck() {
  bool stuck = false;
  for (Executor& executor : executors) {
    if (executor.slot->left_behind()) {
      stuck = true;
      executor.thread.detach();  // it holds its share of the state
    } else {
      executor.thread.join();
    }
  }
  executors.clear();
  return stuck;
}

// Like a handler, a listener has its patience; like a handler's, its thread is left behind then, with its share of the state.
bool Worker::Impl::end_announcer() {
  if (!announcer.joinable()) return true;
  const bool ended = state->announcer.close(Clock::now() + state->options.stop_patience, *state->log);
  ended ? announcer.join() : announcer.detach();
  return ended;
}

void Worker::Impl::say_goodbye() {
  try {
    const auto link = state->connect("goodbye");
    worker::end_left_sessions(*state, *link);
    link->run(fmt::format("SELECT {}.deregister_worker($1)", state->schema), postgres::Params().text(state->id));
  } catch (const Error& e) {
    state->log->warn("the worker could not say goodbye and will be rescued: {}", e.what());
  }
}

bool Worker::Impl::stop() {
  const std::lock_guard lock(lifecycle);
  if (!started) return true;
  state->log->info("worker {} stops: no more claims", state->options.name);
  return end();
}

bool Worker::Impl::end() {
  const worker::Inside inside(state.get());  // handlers' stop callbacks may run on this thread
  started = false;
  over = true;
  state->claiming = false;
  state->orders_changed = true;
  state->heart_bell.ring();
  state->claimer_bell.ring();
  if (claimer.joinable()) claimer.join();
  release_unstarted();
  bool idle = wait_until_ended(Clock::now() + state->options.grace);
  if (!idle) {
    state->log->warn("worker {}: grace is over; asking what still runs to stop", state->options.name);
    hurry = false;
    for (const auto& serving : state->queues) {
      serving->slots.each([](worker::Slot& slot) { slot.stop(StopCause::shutdown); });
    }
    state->heart_bell.ring();
    idle = wait_until_ended(Clock::now() + state->options.stop_patience);
  }
  // Until nothing runs: a thread may be between two states here, about to begin a run, or to settle one that has ended.
  while (!idle) {
    release_running();
    idle = state->idle();
    if (!idle) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  { const std::lock_guard given_back(state->giving_back); }
  state->outbox.close();
  if (completer.joinable()) completer.join();
  state->beating = false;
  state->deadline_bell.ring();
  if (deadlines.joinable()) deadlines.join();
  state->heart_bell.ring();
  if (heart.joinable()) heart.join();
  state->listening = false;
  if (listener.joinable()) {
    ::eventfd_write(state->listener_fd, 1);
    listener.join();
  }
  const bool stuck = leave_stuck();
  const bool told = end_announcer();
  say_goodbye();
  state->log->info("worker {} stopped", state->options.name);
  if (!stuck && told) return true;
  if (!state->options.exit_if_stuck) return false;
  state->log->error("worker {}: a {} still runs that does not obey; leaving the process", state->options.name,
                    stuck ? "handler" : "listener");
  state->log->flush();
  std::fflush(nullptr);
  std::_Exit(1);
}

Worker::Worker(WorkerOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {}
Worker::~Worker() { stop(); }

void Worker::handle_raw(std::string kind, RawHandler handler, KindOptions options) {
  if (options.schema && handler) {
    handler = [schema = *options.schema, inner = std::move(handler)](Context& context) -> Outcome<std::string> {
      if (const auto problem = schema.problem(context.args())) return fail("the args do not fit the schema: " + *problem);
      return inner(context);
    };
  }
  // Who says nothing of its tasks does not overrule those who do.
  const EnqueueOptions& said = options.defaults;
  const bool declared =
      said.queue || said.priority || said.max_attempts || said.backoff || said.timeout || options.schema || !options.aliases.empty();
  add(std::move(kind), std::move(handler), std::move(options), declared);
}

void Worker::add(std::string kind, RawHandler handler, KindOptions options, bool declared) {
  if (!handler) throw InvalidArgument("handler", "is empty");
  const std::lock_guard lock(impl_->lifecycle);
  impl_->check_not_started("handlers are added");
  worker::add_kind(*impl_->state, std::move(kind), std::move(handler), std::move(options), declared);
}

void Worker::on(Event event, Listener listener) {
  const std::lock_guard lock(impl_->lifecycle);
  impl_->check_not_started("listeners are added");
  if (!listener) throw InvalidArgument("listener", "is empty");
  impl_->state->announcer.listen(event, std::move(listener));
}

void Worker::schedule(std::string name, std::string rule, std::string kind, std::string args, ScheduleOptions options) {
  const std::lock_guard lock(impl_->lifecycle);
  impl_->check_not_started("schedules are declared");
  options.task.schema = impl_->state->options.schema;
  for (const worker::Declared& other : impl_->state->schedules) {
    if (other.name == name) throw InvalidArgument("name", fmt::format("\"{}\" is declared already", name));
  }
  impl_->state->schedules.push_back({std::move(name), std::move(rule), std::move(kind), std::move(args), std::move(options)});
}

void Worker::run() {
  const worker::Signals signals;
  start();
  pollfd watched[2] = {{signals.fd(), POLLIN, 0}, {impl_->stop_fd, POLLIN, 0}};
  while (::poll(watched, 2, -1) < 0 && errno == EINTR) {
  }
  char byte = 0;
  [[maybe_unused]] auto count = ::read(signals.fd(), &byte, 1);
  // A second signal ends the grace.
  std::atomic<bool> over{false};
  std::thread impatience([&] {
    pollfd again = {signals.fd(), POLLIN, 0};
    while (!over) {
      if (::poll(&again, 1, 50) > 0) {
        char another = 0;
        count = ::read(signals.fd(), &another, 1);
        impl_->hurry = true;
      }
    }
  });
  stop();
  over = true;
  impatience.join();
}

void Worker::start() { impl_->start(); }

bool Worker::stop() {
  if (worker::Inside::of(impl_->state.get()))
    throw StateError("stop() was called on one of the worker's own threads, which it waits for; call request_stop() there");
  ::eventfd_write(impl_->stop_fd, 1);
  return impl_->stop();
}

void Worker::request_stop() noexcept {
  impl_->state->stop_wished = true;
  ::eventfd_write(impl_->stop_fd, 1);
}

std::vector<PreflightKind> Worker::preflight() const {
  const std::lock_guard lock(impl_->lifecycle);
  return worker::preflight(*impl_->state);
}

void Worker::pause() {
  impl_->state->paused_here = true;
  impl_->state->orders_changed = true;
  impl_->state->claimer_bell.ring();
  impl_->state->heart_bell.ring();
}

void Worker::resume() {
  impl_->state->paused_here = false;
  impl_->state->orders_changed = true;
  impl_->state->claimer_bell.ring();
  impl_->state->heart_bell.ring();
}

bool Worker::paused() const noexcept { return impl_->state->paused(); }
bool Worker::stop_wished() const noexcept { return impl_->state->stop_wished; }

const std::string& Worker::id() const noexcept { return impl_->state->id; }

WorkerCounts Worker::counts() const {
  WorkerCounts counts = impl_->state->tally.totals();
  for (const auto& serving : impl_->state->queues) counts.active += serving->lane.running();
  counts.events_dropped = impl_->state->announcer.dropped();
  return counts;
}

}  // namespace millrace
