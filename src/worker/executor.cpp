#include "worker/executor.hpp"

#include "base/fault.hpp"
#include "base/json_text.hpp"
#include "base/text.hpp"
#include "base/time_text.hpp"
#include "worker/about.hpp"
#include "worker/handler_session.hpp"
#include "worker/inside.hpp"

#include <millrace/error.hpp>
#include <millrace/limits.hpp>

#include <fmt/format.h>

namespace millrace::worker {
namespace {

class Run final : public Context {
 public:
  Run(State& state, const Serving& serving, Slot& slot, HandlerSession& session, const Claimed& task)
      : state_(state), serving_(serving), slot_(slot), session_(session), task_(task), timeout_(task.timeout()) {
    if (timeout_) deadline_ = Clock::now() + *timeout_;
    slot_.begin(task_, deadline_);
  }
  [[nodiscard]] TaskId task_id() const noexcept override { return task_.id(); }
  [[nodiscard]] std::string_view kind() const noexcept override { return task_.kind(); }
  [[nodiscard]] std::string_view queue() const noexcept override { return serving_.lane.queue(); }
  [[nodiscard]] std::string_view args() const noexcept override { return task_.args(); }
  [[nodiscard]] int attempt() const noexcept override { return task_.attempt(); }
  [[nodiscard]] int max_attempts() const noexcept override { return task_.max_attempts(); }
  [[nodiscard]] LeaseId lease() const noexcept override { return task_.batch->lease; }
  [[nodiscard]] std::string_view worker_id() const noexcept override { return state_.id; }
  [[nodiscard]] Time scheduled_at() const override { return task_.run_at().value_or(Time{}); }
  [[nodiscard]] Time started_at() const override { return base::parse_time(task_.batch->started_at).value_or(Time{}); }
  [[nodiscard]] std::optional<Milliseconds> timeout() const noexcept override { return timeout_; }
  [[nodiscard]] std::optional<Clock::time_point> deadline() const noexcept override { return deadline_; }
  [[nodiscard]] std::stop_token stop_token() const noexcept override { return slot_.token(); }
  [[nodiscard]] pqxx::transaction_base& transaction() override { return session_.transaction(timeout_); }
  void progress(std::int64_t done, std::int64_t total, std::string_view note) override {
    if (done < 0) throw InvalidArgument("done", fmt::format("is {}; allowed is 0 and more", done));
    if (total < 0) throw InvalidArgument("total", fmt::format("is {}; allowed is 0 (unknown) and more", total));
    state_.board.progress(task_, done, total, note);
    reported_ = true;
  }
  void log(std::string_view text) override {
    state_.board.log(task_, text);
    reported_ = true;
  }
  // Read when asked for: most tasks say nothing, and most handlers do not ask.
  [[nodiscard]] std::optional<std::string> correlation() const override { return read_about(task_.about()).correlation; }
  [[nodiscard]] std::optional<std::string> tenant() const override { return read_about(task_.about()).tenant; }
  [[nodiscard]] std::optional<std::string> traceparent() const override { return read_about(task_.about()).traceparent; }
  [[nodiscard]] std::map<std::string, std::string> metadata() const override { return read_about(task_.about()).metadata; }
  [[nodiscard]] EnqueueOptions inherit(EnqueueOptions options) const override {
    if (!options.correlation) options.correlation = correlation();
    if (!options.traceparent) options.traceparent = traceparent();
    if (options.schema == "millrace") options.schema = state_.options.schema;
    return options;
  }
  Enqueued enqueue(std::string_view kind, std::string_view args, EnqueueOptions options) override {
    options.schema = state_.options.schema;
    return session_.enqueue(kind, args, inherit(std::move(options)));
  }
  [[nodiscard]] bool reported() const noexcept { return reported_; }

 private:
  State& state_;
  const Serving& serving_;
  Slot& slot_;
  HandlerSession& session_;
  const Claimed& task_;
  std::optional<Milliseconds> timeout_;
  std::optional<Clock::time_point> deadline_;
  std::atomic<bool> reported_{false};
};

std::string why_stopped(StopCause cause, std::optional<Milliseconds> timeout) {
  switch (cause) {
    case StopCause::timeout: return fmt::format("timed out after {} ms", timeout.value_or(Milliseconds{}).count());
    case StopCause::cancel: return "stopped because it was cancelled";
    case StopCause::lease_lost: return "stopped because the lease was lost";
    case StopCause::shutdown: return "stopped because the worker shuts down";
    case StopCause::none: break;
  }
  return {};
}

// As long as a task may be delayed at all.
Milliseconds possible(Milliseconds delay) { return std::clamp<Milliseconds>(delay, Milliseconds{0}, limits::delay_max); }

// Fills in how the handler's word, kept or thrown, settles the task.
void settle_as(Settlement& settlement, const Retry& retry) {
  settlement.kind = Settlement::Kind::fail;
  settlement.text = retry.reason;
  settlement.delay = possible(retry.delay);
}
void settle_as(Settlement& settlement, const Fail& fail) {
  settlement.kind = Settlement::Kind::fail;
  settlement.text = fail.reason;
  settlement.final = true;
}
void settle_as(Settlement& settlement, const Snooze& snooze) {
  settlement.kind = Settlement::Kind::release;
  settlement.delay = possible(snooze.delay);
}
void settle_as(Settlement& settlement, const Cancel& cancel) {
  settlement.kind = Settlement::Kind::cancel;
  settlement.text = cancel.reason;
}
void settle_as(Settlement& settlement, const Err& err) {
  settlement.kind = Settlement::Kind::fail;
  settlement.text = err.reason;
}
void settle_as(Settlement& settlement, std::string problem) {
  settlement.kind = Settlement::Kind::fail;
  settlement.text = std::move(problem);
}

void call(const RawHandler& handler, Context& context, Settlement& settlement) {
  try {
    std::visit(
        [&](auto&& said) {
          if constexpr (std::is_same_v<std::decay_t<decltype(said)>, std::string>) {
            settlement.text = std::forward<decltype(said)>(said);
            if (!settlement.text.empty()) base::check_json("result", settlement.text, false);
          } else {
            settle_as(settlement, said);
          }
        },
        handler(context).state());
  } catch (const Retry& retry) {
    settle_as(settlement, retry);
  } catch (const Fail& fail) {
    settle_as(settlement, fail);
  } catch (const Snooze& snooze) {
    settle_as(settlement, snooze);
  } catch (const Cancel& cancel) {
    settle_as(settlement, cancel);
  } catch (const Err& err) {
    settle_as(settlement, err);
  } catch (const std::exception& e) {
    settle_as(settlement, text_of(e));
  } catch (...) {
    settle_as(settlement, std::string("the handler threw something that is no std::exception"));
  }
}

// Ends the handler's transaction, if it began one: with the task's completion, or not at all.
void end_transaction(HandlerSession& session, const Claimed& task, Settlement& settlement) {
  if (!session.open()) return;
  if (settlement.kind != Settlement::Kind::complete) return session.roll_back();
  try {
    session.commit(task, settlement.text);
    settlement.kind = Settlement::Kind::committed;
  } catch (const OutcomeUnknown& e) {
    // Recorded as a failed attempt: that reads the row under its fence before anything else, and if the commit did take
    // place, it finds the task settled under this lease and changes nothing.
    settle_as(settlement, fmt::format("the connection broke while the handler's transaction was committed: {}", text_of(e)));
  } catch (const std::exception& e) {
    settle_as(settlement, fmt::format("the handler's transaction was not committed: {}", text_of(e)));
  }
}

// Runs one task and settles it, unless its settlement was taken from it.
void run_task(State& state, Serving& serving, Slot& slot, HandlerSession& session, const Claimed& task) {
  Settlement settlement{.batch = task.batch, .row = task.row};
  const auto kind = state.kinds.find(task.kind());
  if (kind == state.kinds.end()) {
    // A claim takes only what is handled here, but a ticket knows no more of a kind than its hash.
    settlement.kind = Settlement::Kind::release;
    settlement.text = fmt::format("worker {} has no handler for kind \"{}\"; given back for 30 s", state.options.name, task.kind());
    settlement.delay = Milliseconds(30'000);
    state.log->warn("task {}: {}", task.id().value, settlement.text);
    state.outbox.add(std::move(settlement));
    return;
  }
  Run run(state, serving, slot, session, task);
  if (state.wishes.take(task.id())) {
    // Somebody cancelled it between its claim and now: releasing it records that.
    if (slot.end().abandoned) return;
    settlement.kind = Settlement::Kind::release;
    state.outbox.add(std::move(settlement));
    return;
  }
  // Who keeps the deadlines may be asleep for longer than this one.
  if (run.timeout()) state.deadline_bell.ring();
  base::fault_point("before-handler");
  const auto began = state.announcer.began(task, *state.log);
  call(kind->second->handler, run, settlement);
  if (run.reported() && session.open() && settlement.kind == Settlement::Kind::complete) {
    // Its end is recorded by the session itself, so what it said has to be on record before.
    state.board.await_recorded(task.id(), Clock::now() + std::chrono::seconds(1), [&] { state.outbox.nudge(); });
  }
  end_transaction(session, task, settlement);
  base::fault_point("after-handler");
  const Slot::End end = slot.end();
  if (end.abandoned) return;
  state.wishes.take(task.id());  // not before: it may be meant for the attempt that runs in this one's place
  if (settlement.kind == Settlement::Kind::fail && end.cause != StopCause::none && !settlement.final) {
    if (end.cause == StopCause::shutdown) {
      // It stopped because we asked it to: not its fault, so not counted.
      settlement = Settlement{.kind = Settlement::Kind::release, .batch = task.batch, .row = task.row};
    } else {
      settlement.text = fmt::format("{}: {}", why_stopped(end.cause, run.timeout()), settlement.text);
    }
  }
  if (settlement.kind != Settlement::Kind::complete && settlement.kind != Settlement::Kind::committed)
    settlement.text = base::storable(settlement.text, limits::error_characters_max);
  settlement.reported = run.reported();
  settlement.ran = state.announcer.ran(began);
  state.outbox.add(std::move(settlement));
}

}  // namespace

void leave_behind(State& state, Serving& serving, const Claimed& task) {
  state.tally.straggled();
  Settlement settlement{.batch = task.batch, .row = task.row};
  settle_as(settlement, fmt::format("{} and did not stop within {} ms; its thread was left behind",
                                    why_stopped(StopCause::timeout, task.timeout()), state.options.timeout_grace.count()));
  state.log->error("task {} ({}) {}", task.id().value, task.kind(), settlement.text);
  state.outbox.add(std::move(settlement));
  // Last: with it the lane may be idle, and the outbox closed.
  serving.lane.forget_run();
}

void execute(const std::shared_ptr<State>& state, Serving& serving, Slot& slot) {
  const Inside inside(state.get());
  HandlerSession session(*state, slot);
  std::optional<Clock::duration> took;
  while (const auto task = serving.lane.take(took)) {
    const auto begin = Clock::now();
    if (task->batch->lost) {
      // Rescued meanwhile: it runs, or will run, elsewhere.
      state->ledger.settled(task->batch->lease);
      state->tally.lost(1);
    } else {
      try {
        run_task(*state, serving, slot, session, *task);
      } catch (...) {
        // Not what the handler threw, but what became of telling it: no memory for the message, for one.
        session.roll_back();
        if (!slot.end().abandoned) {
          state->log->error("task {}: its end could not be told", task->id().value);
          state->outbox.add({.kind = Settlement::Kind::fail, .batch = task->batch, .row = task->row});
        }
      }
      if (slot.abandoned()) return;  // another thread is in its place
    }
    took = Clock::now() - begin;
  }
}

}  // namespace millrace::worker
