#include "worker/heart.hpp"

#include "worker/orders.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace millrace::worker {
namespace {

using namespace std::chrono_literals;
using postgres::ArrayText;
using postgres::Params;

// How soon to beat again if somebody held up the last beat.
constexpr auto held_pace = 250ms;

// The elements of an array of plain texts or numbers; names with commas, quotes or braces come quoted.
std::vector<std::string> elements(std::string_view array) {
  std::vector<std::string> all;
  std::string one;
  bool quoted = false;
  bool any = false;
  for (std::size_t i = 1; i + 1 < array.size(); ++i) {
    const char c = array[i];
    if (quoted && c == '\\') {
      one += array[++i];
    } else if (c == '"') {
      quoted = !quoted;
      any = true;
    } else if (c == ',' && !quoted) {
      all.push_back(std::exchange(one, {}));
    } else {
      one += c;
      any = true;
    }
  }
  if (any) all.push_back(one);
  return all;
}

}  // namespace

void Heart::run() {
  auto next_beat = Clock::now();
  for (int failures = 0; state_.beating;) {
    auto interrupt = Clock::time_point::max();
    const bool beats = Clock::now() >= next_beat;
    if (beats || Clock::now() >= next_fire_ || state_.schedules_changed || state_.orders_changed) {
      try {
        if (!link_ || link_->broken()) {
          link_.reset();
          attached_ = state_.registrations;
          link_ = state_.connect("heart");
        }
        state_.attach_again(*link_, attached_);
        if (beats) beat();
        if (const bool told = state_.orders_changed.exchange(false); told || beats) attend_orders(state_, *link_);
        fire_schedules();
        failures = 0;
        held_up_ = false;
      } catch (const DatabaseError& e) {
        // A person holds a row that the beat writes, such as this worker's. It must not take long to beat once that ends.
        const bool held = e.sqlstate() == "55P03";
        if (!held || !std::exchange(held_up_, true))
          state_.log->warn("heart: {}{}", e.what(), held ? "; trying again until it is free" : "");
        next_fire_ = Clock::now() + 1s;
        if (held) {
          state_.orders_changed = true;
          next_beat = Clock::now() + std::min<Clock::duration>(state_.options.heartbeat, held_pace);
          continue;
        }
      } catch (const ConnectionError& e) {
        link_.reset();
        state_.back_off(failures++, "heart", e);
        continue;
      } catch (const Error& e) {
        state_.log->warn("heart: {}", e.what());
        next_fire_ = Clock::now() + 1s;
      }
      if (beats) next_beat = Clock::now() + state_.options.heartbeat;
    }
    try {
      if (link_) interrupt = interrupt_stopped(state_, *link_);
    } catch (const Error& e) {
      state_.log->warn("heart: {}", e.what());
      if (link_->broken()) link_.reset();
    }
    state_.heart_bell.wait_until(std::min({next_beat, next_fire_, interrupt}));
  }
  try {
    if (link_) flush_stats();
  } catch (const Error& e) {
    state_.log->debug("heart: {}", e.what());
  }
}

void Heart::beat() {
  const auto rows =
      link_->run(fmt::format("SELECT registered, lost, cancelled, suspects FROM {}.heartbeat($1, $2::bigint[])", state_.schema),
                 Params().text(state_.id).text(state_.ledger.named()));
  // Those that the database knew nothing of when it was asked: the claimer may have got another lease since.
  std::vector<LeaseId> lost;
  for (const std::string& lease : elements(rows.text(0, 1))) lost.push_back({std::stoll(lease)});
  state_.lose(state_.ledger.lose(lost));
  if (!rows.boolean(0, 0)) {
    state_.log->warn("heart: this worker was taken for dead and its tasks were rescued; registering again");
    state_.register_again(*link_);
    state_.attach_again(*link_, attached_);
    state_.claimer_bell.ring();
  } else {
    std::vector<TaskId> cancelled;
    for (const std::string& task : elements(rows.text(0, 2))) cancelled.push_back({std::stoll(task)});
    cancel_runs(state_, cancelled);
    const auto suspects = elements(rows.text(0, 3));
    for (const auto& serving : state_.queues) {
      if (std::find(suspects.begin(), suspects.end(), serving->lane.queue()) != suspects.end()) {
        serving->suspects = true;
        state_.claimer_bell.ring();
      }
    }
  }
  flush_stats();
  give_back_stale();
  const auto rescued = link_->run(fmt::format("SELECT dead_workers, rescued FROM {}.rescue()", state_.schema));
  if (rescued.integer(0, 1) > 0) {
    state_.log->warn("heart: rescued {} tasks of {} dead workers", rescued.integer(0, 1), rescued.integer(0, 0));
    for (const auto& serving : state_.queues) serving->suspects = true;
    state_.claimer_bell.ring();
  }
  keys_tidied_ = link_->run(fmt::format("SELECT {}.tidy_keys($1)", state_.schema), Params().integer(keys_tidied_)).integer(0, 0);
  if (Clock::now() >= next_sweep_) sweep_expired();
  if (Clock::now() >= next_tidy_) {
    link_->run(fmt::format("SELECT {}.tidy()", state_.schema));
    link_->run(fmt::format("SELECT {}.tidy_locks()", state_.schema));
    reports_tidied_ = link_->run(fmt::format("SELECT {}.tidy_reports($1)", state_.schema), Params().integer(reports_tidied_)).integer(0, 0);
    next_tidy_ = Clock::now() + 60s;
  }
}

// A slice at a time, for a fraction of the interval between two beats; what is left is for the next beat, not the next minute.
void Heart::sweep_expired() {
  const auto end = Clock::now() + std::min<Clock::duration>(state_.options.heartbeat / 10, 200ms);
  bool more = true;
  while (more && Clock::now() < end) more = link_->run(fmt::format("SELECT more FROM {}.expire_tasks()", state_.schema)).boolean(0, 0);
  if (!more) next_sweep_ = Clock::now() + 60s;
}

void Heart::flush_stats() {
  const Tally::Lines lines = state_.tally.take();
  if (lines.empty()) return;
  ArrayText queues, kinds, completed, retried, failed, run_ms;
  for (const auto& [key, line] : lines) {
    queues.text(key.first);
    kinds.text(key.second);
    completed.integer(line.completed);
    retried.integer(line.retried);
    failed.integer(line.failed);
    run_ms.integer(line.run_ns / 1'000'000);
  }
  link_->run(fmt::format("SELECT {}.record_stats($1, $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])",
                         state_.schema),
             Params()
                 .text(state_.id)
                 .text(std::move(queues).take())
                 .text(std::move(kinds).take())
                 .text(std::move(completed).take())
                 .text(std::move(retried).take())
                 .text(std::move(failed).take())
                 .text(std::move(run_ms).take()));
}

// Fires what is due, a bounded number of schedules at a time, and sets when to look again. The database says in how long:
// this host's clock does not matter. A draining worker leaves it to the others.
void Heart::fire_schedules() {
  if (!state_.claiming) {
    next_fire_ = Clock::time_point::max();
    return;
  }
  state_.schedules_changed = false;
  const auto rows = link_->run(fmt::format("SELECT fired, ceil(next_in_ms)::bigint FROM {}.fire_schedules()", state_.schema));
  const auto fired = rows.integer(0, 0);
  if (fired > 0) state_.log->debug("heart: {} ticks fired", fired);
  // A schedule may be made while nobody tells us: look now and then.
  next_fire_ = Clock::now() + state_.options.poll_interval;
  if (rows.is_null(0, 1)) return;
  // What is due already while nothing was fired is in another worker's hands: see soon whether it came to an end.
  const auto pause = fired > 0 ? Milliseconds(0) : Milliseconds(50);
  next_fire_ = std::min(next_fire_, Clock::now() + std::clamp(Milliseconds(rows.integer(0, 1)), pause, Milliseconds(1h)));
}

// Prefetched for handlers that were quick then and are slow now: another worker may be free for them.
void Heart::give_back_stale() {
  const std::lock_guard lock(state_.giving_back);
  for (const auto& serving : state_.queues) {
    for (const Claimed& task : serving->lane.withdraw(Clock::now() - 2s)) {
      state_.outbox.add({.kind = Settlement::Kind::release, .batch = task.batch, .row = task.row});
    }
  }
}

}  // namespace millrace::worker
