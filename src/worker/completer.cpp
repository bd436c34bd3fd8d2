#include "worker/completer.hpp"

#include "base/fault.hpp"
#include "worker/ends.hpp"
#include "worker/reports.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace millrace::worker {
namespace {

using postgres::Params;

// How long it tries to record what is left when the worker stops.
constexpr auto patience_at_end = std::chrono::seconds(10);

// What ails the database or the way to it, and will pass or be mended: a full disk, a failover that has made it read-only, somebody's
// cancel, a missing privilege. What was done is done, and is recorded then. Anything else speaks of the settlement itself.
bool is_passing(const DatabaseError& e) {
  static constexpr std::string_view classes[] = {"08", "25", "28", "40", "42", "53", "55", "57", "58", "XX"};
  return std::any_of(std::begin(classes), std::end(classes), [&](std::string_view one) { return e.sqlstate().starts_with(one); });
}

// The server broke down over it, as it does over values too large to be put together. Where that goes on it speaks of the settlement.
bool is_breakdown(const DatabaseError& e) { return e.sqlstate().starts_with("XX") || e.sqlstate() == "53200"; }

bool is_contention(const DatabaseError& e) { return e.sqlstate() == "55P03" || e.sqlstate() == "40P01" || e.sqlstate() == "40001"; }

}  // namespace

postgres::Connection& Completer::connection() {
  if (!link_ || link_->broken()) {
    link_.reset();
    attached_ = state_.registrations;
    link_ = state_.connect("completer");
  }
  state_.attach_again(*link_, attached_);
  return *link_;
}

void Completer::run() {
  using namespace std::chrono_literals;
  for (;;) {
    const auto patience = held_.empty() ? 200ms : 50ms;
    std::vector<Settlement> batch = state_.outbox.take(Clock::now() + patience);
    const bool closed = state_.outbox.closed();
    if (closed && give_up_ == Clock::time_point::max()) give_up_ = Clock::now() + patience_at_end;
    std::move(held_.begin(), held_.end(), std::back_inserter(batch));
    held_.clear();
    if (!state_.board.empty()) attend_reports(batch, closed);
    if (batch.empty()) {
      const bool dropped = drop_done_leases();
      if (closed && (dropped || Clock::now() > give_up_)) return;
      continue;
    }
    flush(std::move(batch));
    if (closed && Clock::now() > give_up_) return;
  }
}

void Completer::flush(std::vector<Settlement> batch) {
  constexpr std::size_t part_max = 2000;
  constexpr std::size_t bytes_max = 8'388'608;
  std::vector<Settlement> committed;
  for (Settlement& one : batch) {
    if (one.kind == Settlement::Kind::committed) committed.push_back(std::exchange(one, {}));
  }
  if (!committed.empty()) conclude(committed, {});
  using Kind = Settlement::Kind;
  for (const auto kind : {Kind::complete, Kind::fail, Kind::cancel, Kind::release}) {
    std::vector<Settlement> part;
    std::size_t bytes = 0;
    for (Settlement& one : batch) {
      if (one.batch == nullptr || one.kind != kind) continue;
      bytes += one.text.size();
      part.push_back(std::move(one));
      one.batch.reset();  // NOLINT(bugprone-use-after-move): emptied on purpose, it marks what is settled
      if (part.size() == part_max || bytes >= bytes_max) {
        settle(part);
        part.clear();
        bytes = 0;
      }
    }
    if (!part.empty()) settle(part);
  }
}

bool Completer::record(const std::vector<Settlement>& part) {
  bool careful = false;
  int breakdowns = 0;
  // In company it costs little to look which one it is; a lone one has to be sure.
  const int breakdowns_max = part.size() > 1 ? 3 : 6;
  for (int failures = 0;;) {
    // The worker may be told to stop while this is at it.
    if (state_.outbox.closed() && give_up_ == Clock::time_point::max()) give_up_ = Clock::now() + patience_at_end;
    if (Clock::now() >= give_up_) return false;
    bool sent = false;
    try {
      base::fault_point("before-settle");
      postgres::Connection& link = connection();
      sent = true;
      const Answer answer = send(state_, link, part, careful);
      base::fault_point("after-settle");
      conclude(part, answer);
      return true;
    } catch (const ConnectionError& e) {
      link_.reset();
      if (sent && ++breakdowns == breakdowns_max) return false;
      state_.back_off(failures++, "completer", e);
    } catch (const DatabaseError& e) {
      if (is_contention(e)) {
        careful = true;
        continue;
      }
      if (!is_passing(e) || (is_breakdown(e) && ++breakdowns == breakdowns_max)) return false;
      state_.back_off(failures++, "completer", e);
    } catch (const SchemaError& e) {
      state_.back_off(failures++, "completer", e);
    } catch (const Error&) {
      return false;
    }
  }
}

void Completer::settle(std::vector<Settlement>& part) {
  const Announcer::Settling settling(state_.announcer, part);
  if (record(part)) return;
  if (Clock::now() >= give_up_) {
    state_.log->error("{} settlements could not be recorded before the end; their tasks will be rescued", part.size());
    return;
  }
  // Something in one of them is refused by the database: find it, and record that instead.
  if (part.size() > 1) {
    for (Settlement& one : part) {
      std::vector<Settlement> single;
      single.push_back(std::move(one));
      settle(single);
    }
    return;
  }
  Settlement& one = part[0];
  state_.log->error("task {}: its settlement was refused by the database", one.id().value);
  // Unsettled it would run for ever, under a worker that lives. So ever simpler settlements are tried, down to one that is all our own.
  const bool plain = one.kind == Settlement::Kind::fail && !one.delay;
  if (plain && one.final) {
    state_.log->critical("task {}: not even a failure could be recorded; it stays with this worker until that ends", one.id().value);
    return;
  }
  if (one.kind != Settlement::Kind::fail || plain)
    one.text = plain ? "the database refused the failure" : "the database refused the result";
  one.kind = Settlement::Kind::fail;
  one.delay.reset();
  one.final = plain;
  settle(part);
}

void Completer::conclude(const std::vector<Settlement>& part, const Answer& answer) {
  std::unordered_map<std::int64_t, bool> held;
  for (const Verdict& one : answer.exceptions) held.emplace(one.id, one.held);
  std::unordered_map<std::int64_t, int> times;
  if (!held.empty()) {
    for (const Settlement& one : part) ++times[one.id().value];
  }
  Tally::Lines lines;
  std::int64_t released = 0;
  std::int64_t lost = 0;
  // Batches come grouped by kind more often than not: look a line up only when it changes.
  Tally::Line* line = nullptr;
  std::string_view kind;
  for (const Settlement& one : part) {
    if (!held.empty()) {
      if (const auto found = held.find(one.id().value); found != held.end()) {
        if (times[one.id().value] > 1) {
          // Claimed anew by this worker while its old lease's settlement waited here: the answer does not say which of them it means.
          std::vector<Settlement> single{one};
          settle(single);
          continue;
        }
        if (found->second) {
          held_.push_back(one);
          continue;
        }
        ++lost;
        state_.log->warn("task {}: its lease {} was lost, so its end was not recorded", one.id().value, one.batch->lease.value);
        state_.ledger.settled(one.batch->lease);
        continue;
      }
    }
    state_.ledger.settled(one.batch->lease);
    if (one.kind == Settlement::Kind::release) {
      ++released;
      continue;
    }
    const std::string_view its_kind = one.batch->rows.text(one.row, 2);
    if (line == nullptr || its_kind != kind) {
      kind = its_kind;
      line = &lines[{one.batch->queue, std::string(kind)}];
    }
    if (one.kind == Settlement::Kind::complete || one.kind == Settlement::Kind::committed) {
      ++line->completed;
    } else if (one.kind == Settlement::Kind::cancel) {
      ++line->cancelled;
      state_.log->info("task {} ({}) cancelled itself: {}", one.id().value, kind, one.text);
    } else if (const auto recorded = answer.failed.find(one.id().value); recorded == answer.failed.end()) {
      // Nothing was written: it was settled under this lease before, and that answer was lost.
      state_.log->info("task {} ({}): its end was on record already", one.id().value, kind);
    } else if (recorded->second.status == "cancelled") {
      ++line->cancelled;
      state_.log->info("task {} ({}) was cancelled", one.id().value, kind);
    } else if (recorded->second.status == "failed") {
      ++line->failed;
      state_.log->error("task {} ({}) failed for good: {}", one.id().value, kind, one.text);
    } else {
      ++line->retried;
      state_.log->warn("task {} ({}) failed and will be retried: {}", one.id().value, kind, one.text);
    }
  }
  // What went back may be due at once, or before the claimer would look again.
  if (part[0].kind == Settlement::Kind::fail || part[0].kind == Settlement::Kind::release) state_.claimer_bell.ring();
  state_.tally.add(lines);
  if (released > 0) state_.tally.released(released);
  if (lost > 0) state_.tally.lost(lost);
  if (!state_.announcer.wanted()) return;
  std::vector<const Settlement*> ends;
  for (const Settlement& one : part) {
    if (held.count(one.id().value) == 0) ends.push_back(&one);
  }
  announce_ends(state_, ends, answer.failed, [this]() -> postgres::Connection& { return connection(); });
}

void Completer::attend_reports(const std::vector<Settlement>& batch, bool closed) {
  const bool ends = std::any_of(batch.begin(), batch.end(), [](const Settlement& one) { return one.reported; });
  if (Clock::now() < next_reports_ && !closed && !state_.board.urgent() && !ends) return;
  next_reports_ = Clock::now() + std::chrono::milliseconds(200);
  // What a run said has to come before its end: once its task is claimed again, its lease is refused.
  constexpr int contentions_max = 3;
  for (int failures = 0, contentions = 0;;) {
    Board::Reports reports = state_.board.take();
    try {
      record_reports(state_, connection(), reports);
      return state_.board.recorded();
    } catch (const ConnectionError& e) {
      link_.reset();
      state_.board.put_back(std::move(reports));
      if (!ends || Clock::now() > give_up_) return;
      state_.back_off(failures++, "completer", e);
    } catch (const Error& e) {
      const auto* error = dynamic_cast<const DatabaseError*>(&e);
      if (error == nullptr || !is_contention(*error)) {
        state_.log->warn("completer: progress and log lines of {} tasks could not be recorded: {}", reports.size(), e.what());
        return state_.board.recorded();
      }
      // Somebody holds a row of theirs: the ends do not wait for him for ever.
      state_.board.put_back(std::move(reports));
      if (!ends || ++contentions == contentions_max) return;
    }
    if (state_.outbox.closed() && give_up_ == Clock::time_point::max()) give_up_ = Clock::now() + patience_at_end;
  }
}

bool Completer::drop_done_leases() {
  const std::vector<LeaseId> done = state_.ledger.take_done();
  if (done.empty()) return true;
  try {
    connection().run(fmt::format("SELECT {}.drop_leases($1, $2::bigint[])", state_.schema), Params().text(state_.id).text(array_of(done)));
    return true;
  } catch (const Error& e) {
    state_.ledger.put_back_done(done);
    link_.reset();
    state_.back_off(0, "completer", e);
    return false;
  }
}

}  // namespace millrace::worker
