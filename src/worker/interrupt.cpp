#include "worker/interrupt.hpp"

#include "worker/state.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace millrace::worker {

using namespace std::chrono_literals;

void Wishes::add(const std::vector<TaskId>& tasks) {
  if (tasks.empty()) return;
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  // A task that was claimed begins, or is given back, within seconds.
  for (auto one = tasks_.begin(); one != tasks_.end();) one = now - one->second > 60s ? tasks_.erase(one) : std::next(one);
  for (const TaskId task : tasks) tasks_[task] = now;
  any_ = true;
}

bool Wishes::take(TaskId task) {
  if (!any_) return false;
  const std::lock_guard lock(mutex_);
  const bool found = tasks_.erase(task) > 0;
  any_ = !tasks_.empty();
  return found;
}

void cancel_runs(State& state, const std::vector<TaskId>& tasks) {
  // First the wish, then the runs: one that begins meanwhile looks for wishes after it can be found here.
  state.wishes.add(tasks);
  for (const TaskId task : tasks) {
    for (const auto& serving : state.queues) {
      serving->slots.each([&](Slot& slot) { slot.stop_if_task(task, StopCause::cancel); });
    }
  }
}

void look_for_cancellations(State& state, postgres::Connection& link) {
  const auto rows = link.run(fmt::format("SELECT unnest({}.cancellations($1))", state.schema), postgres::Params().text(state.id));
  std::vector<TaskId> tasks;
  tasks.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) tasks.push_back({rows.integer(row, 0)});
  cancel_runs(state, tasks);
}

namespace {
// What a thread that was left behind holds in the database, it would hold for ever. Behind a pooler a session is nobody's.
void end_session(const State& state, postgres::Connection& link, int pid) {
  link.run(fmt::format("SELECT pg_terminate_backend(a.pid) FROM {}.worker_sessions s JOIN pg_stat_activity a"
                       " ON a.pid = s.pid AND a.backend_start = s.backend_start WHERE s.worker = $1 AND s.pid = $2",
                       state.schema),
           postgres::Params().text(state.id).integer(pid));
}
}  // namespace

void end_left_sessions(State& state, postgres::Connection& link) {
  if (!state.options.listen) return;
  for (const auto& serving : state.queues) {
    serving->slots.each([&](Slot& slot) { slot.end_left_session([&](int pid) { end_session(state, link, pid); }); });
  }
}

Clock::time_point interrupt_stopped(State& state, postgres::Connection& link) {
  auto next = Clock::time_point::max();
  for (const auto& serving : state.queues) {
    serving->slots.each([&](Slot& slot) {
      const auto again = slot.interrupt_session(Clock::now(), [&](int pid, bool left) {
        if (left && state.options.listen)
          end_session(state, link, pid);
        else
          link.run("SELECT pg_cancel_backend($1::integer)", postgres::Params().integer(pid));
      });
      if (again) next = std::min(next, *again);
    });
  }
  return next;
}

}  // namespace millrace::worker
