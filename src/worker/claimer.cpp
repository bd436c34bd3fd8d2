#include "worker/claimer.hpp"

#include "base/fault.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

namespace millrace::worker {
namespace {

using namespace std::chrono_literals;
using postgres::Params;

// How long a suspect runs alone before others run beside it again, and how long it waits for a worker to be empty.
constexpr auto probation = 10s;
constexpr auto room_patience = 5s;
// When to look again if nothing is due for longer.
constexpr Milliseconds next_in_max = 1h;
// How often to look what is left alone, and to say again that nobody handles a kind.
constexpr auto first_look = 1s;
constexpr auto others_pace = 5s;
constexpr auto told_for = 10min;
// A claim that finds nothing and takes longer has walked over very many tickets of others.
constexpr auto long_walk = 20ms;

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

Claimer::Claimer(State& state, std::unique_ptr<postgres::Connection> link) : state_(state), link_(std::move(link)) {
  // Not at once: workers that start together have to be there first.
  for (const auto& serving : state_.queues) lookouts_.push_back({.serving = serving.get(), .look_at = Clock::now() + first_look});
}

void Claimer::connect() {
  if (link_ && !link_->broken()) return state_.attach_again(*link_, attached_);
  link_.reset();
  attached_ = state_.registrations;
  link_ = state_.connect("claimer");
  for (Lookout& lookout : lookouts_) {
    lookout.cursor.reset();
    lookout.drained = false;
  }
  state_.log->info("claimer: connected again");
}

std::string Claimer::kind_hashes() {
  postgres::ArrayText kinds;
  for (const auto& [kind, handler] : state_.kinds) kinds.text(kind);
  const auto hashes = link_->run(fmt::format("SELECT ARRAY(SELECT {}.kind_hash(k) FROM unnest($1::text[]) k)", state_.schema),
                                 Params().text(std::move(kinds).take()));
  return std::string(hashes.text(0, 0));
}

void Claimer::run() {
  for (int failures = 0; state_.claiming;) {
    try {
      connect();
      if (kinds_.empty()) kinds_ = kind_hashes();
      attend_registration();
      if (state_.paused())
        rest();
      else
        round();
      failures = 0;
      if (!again_) wait();
    } catch (const ConnectionError& e) {
      link_.reset();
      if (state_.claiming) state_.back_off(failures++, "claimer", e);
    } catch (const DatabaseError& e) {
      if (e.sqlstate() == "MR004") {
        state_.log->warn("claimer: this worker was taken for dead; registering again");
        dead_ = true;
      } else if (e.sqlstate() != "40P01" && e.sqlstate() != "40001") {
        state_.back_off(failures++, "claimer", e);
      }
    } catch (const Error& e) {
      state_.back_off(failures++, "claimer", e);
    }
  }
  try {
    if (link_ && policy_.wanted()) link_->run(fmt::format("SELECT {}.want_wakes($1, false)", state_.schema), Params().text(state_.id));
  } catch (const Error&) {
    return;  // the goodbye of the worker says the same
  }
}

void Claimer::attend_registration() {
  if (dead_) {
    // No lease can have come since: only this thread claims.
    state_.lose(state_.ledger.lose_all());
    state_.register_again(*link_);
    dead_ = false;
  }
  if (const int now = state_.registrations; registration_ != now) {
    // The row was written anew: nobody knows any more that it wanted to be woken.
    policy_.reset();
    newest_ = 0;
    registration_ = now;
  }
}

void Claimer::forget_next_due() {
  for (Lookout& lookout : lookouts_) lookout.next_due = Clock::time_point::max();
}

// Paused: what is here and has not begun is for others.
void Claimer::rest() {
  again_ = false;
  forget_next_due();
  for (const Lookout& lookout : lookouts_) {
    for (const Claimed& task : lookout.serving->lane.withdraw())
      state_.outbox.add({.kind = Settlement::Kind::release, .batch = task.batch, .row = task.row});
  }
  if (policy_.wanted()) attend_wish();
}

void Claimer::round() {
  again_ = false;
  if (attend_suspects()) return forget_next_due();
  bool idle = true;
  for (Lookout& lookout : lookouts_) {
    const int room = lookout.serving->lane.room();
    if (room == 0) {
      lookout.next_due = Clock::time_point::max();  // it is woken when there is room
      idle = false;
      continue;
    }
    if (Clock::now() < lookout.not_before) continue;
    if (claim(lookout, room, false)) again_ = true;
    if (!lookout.drained)
      idle = false;
    else if (Clock::now() >= lookout.look_at)
      look_at_others(lookout);
  }
  if (policy_.should_change(Clock::now(), idle)) attend_wish();
}

bool Claimer::claim(Lookout& lookout, int room, bool suspect) {
  const auto begin = Clock::now();
  const bool careful = begin < lookout.careful_until;
  const bool sweep = lookout.cursor.sweep_due(begin, lookout.drained);
  postgres::Result rows;
  try {
    rows = link_->run(
        fmt::format("SELECT id, hint, kind, args, attempt, max_attempts, priority, run_at, timeout_ms, about FROM {}.claim($1, $2, "
                    "$3, $4::timestamptz[], $5::bigint[], $6, $7, $8::integer[])",
                    state_.schema),
        Params()
            .text(state_.id)
            .text(lookout.serving->lane.queue())
            .integer(room)
            .text(lookout.cursor.times(sweep))
            .text(lookout.cursor.ids(sweep))
            .boolean(careful)
            .boolean(suspect)
            .text(kinds_));
  } catch (const DatabaseError& e) {
    if (e.sqlstate() != "55P03") throw;
    // Somebody holds a task's row. Step over such rows for a while.
    lookout.careful_until = Clock::now() + 5s;
    return true;
  }
  base::fault_point("after-claim");
  const auto end = Clock::now();
  const Footer footer = read_footer(lookout, rows, suspect);
  if (sweep) lookout.cursor.swept(begin, end);
  if (newest_ != 0 && footer.xmin >= newest_) newest_ = 0;
  if (rows.size() > 1) {
    const int tasks = rows.size() - 1;
    const auto batch = std::make_shared<Batch>();
    batch->lease = {rows.integer(tasks, 0)};
    batch->queue = lookout.serving->lane.queue();
    batch->started_at = footer.started_at;
    batch->rows = std::move(rows);
    state_.ledger.add(batch, tasks);
    std::vector<Claimed> claimed;
    claimed.reserve(static_cast<std::size_t>(tasks));
    for (int row = 0; row < tasks; ++row) claimed.push_back({batch, row, end});
    lookout.serving->lane.push(std::move(claimed));
  }
  if (suspect) return footer.took > 0;
  policy_.claimed(footer.took == room && room == state_.options.batch);
  // Empty means that no ticket was consumed, and only a sweep has seen all of them.
  const bool was_drained = lookout.drained;
  lookout.drained = footer.took == 0 && sweep;
  lookout.next_due = footer.next_in ? end + *footer.next_in : Clock::time_point::max();
  if (footer.took == 0 && !sweep) lookout.drained = false;
  if (footer.took == 0 && !sweep && !was_drained) {
    // The claim before sleeping is a sweep.
    lookout.cursor.reset();
  }
  // As with sweeps: walking over what is not ours takes at most about a tenth of the time.
  if (lookout.drained && lookout.others && end - begin > long_walk)
    lookout.not_before = end + std::min<Clock::duration>((end - begin) * 10, 5s);
  return !lookout.drained;
}

void Claimer::look_at_others(Lookout& lookout) {
  constexpr int most = 100;
  const auto begin = Clock::now();
  const std::string& queue = lookout.serving->lane.queue();
  const auto rows = link_->run(fmt::format("SELECT kind, tasks, handled FROM {}.left_alone($1, $2::integer[], $3)", state_.schema),
                               Params().text(queue).text(kinds_).integer(most));
  const auto now = Clock::now();
  lookout.looked = true;
  lookout.others = rows.size() > 0;
  lookout.look_at = now + std::max<Clock::duration>(others_pace, (now - begin) * 20);
  std::erase_if(told_, [&](const auto& one) { return now - one.second > told_for; });
  for (int row = 0; row < rows.size(); ++row) {
    const std::string kind(rows.text(row, 0));
    if (rows.boolean(row, 2)) {
      told_.erase({queue, kind});
    } else if (told_.try_emplace({queue, kind}, now).second) {
      const auto tasks = rows.integer(row, 1);
      state_.log->warn("queue {}: {}{} {} of kind \"{}\" {} due, and no live worker here handles that kind", queue, tasks,
                       tasks >= most ? " or more" : "", tasks == 1 ? "task" : "tasks", kind, tasks == 1 ? "is" : "are");
    }
  }
}

Claimer::Footer Claimer::read_footer(Lookout& lookout, const postgres::Result& rows, bool suspect) const {
  const auto json = nlohmann::json::parse(rows.text(rows.size() - 1, 3));
  Footer footer{.took = json.at("took").get<int>(), .xmin = number(json.at("xmin").get<std::string>())};
  if (const auto& started = json.at("started_at"); started.is_string()) footer.started_at = started.get<std::string>();
  // A task may be due in thousands of years, which the steady clock cannot count.
  if (const auto& next = json.at("next_in_ms"); next.is_number())
    footer.next_in = std::min(Milliseconds(next.get<std::int64_t>()), next_in_max);
  if (!suspect) {
    for (const auto& mark : json.at("reached"))
      lookout.cursor.reached(mark.at(0).get<int>(), mark.at(1).get<std::string>(), mark.at(2).get<std::int64_t>());
  }
  return footer;
}

bool Claimer::attend_suspects() {
  const auto now = Clock::now();
  const bool idle = state_.idle();
  if (now < alone_until_) {
    if (!idle) return true;
    alone_until_ = {};
  }
  bool waiting = false;
  for (Lookout& lookout : lookouts_) {
    if (!lookout.serving->suspects) continue;
    waiting = true;
    const bool patience_over = room_since_ != Clock::time_point{} && now - room_since_ > room_patience && lookout.serving->lane.room() > 0;
    if (!idle && !patience_over) continue;
    if (claim(lookout, 1, true)) {
      // One at a time. Alone, unless nothing else would ever end: then beside others, and no death of it counts.
      if (idle) alone_until_ = now + probation;
      room_since_ = {};
      return true;
    }
    lookout.serving->suspects = false;
  }
  if (!waiting) {
    room_since_ = {};
    return false;
  }
  if (room_since_ == Clock::time_point{}) room_since_ = now;
  return std::any_of(lookouts_.begin(), lookouts_.end(), [](const Lookout& one) { return one.serving->suspects.load(); });
}

void Claimer::attend_wish() {
  const bool wanted = !policy_.wanted() && state_.options.listen;
  if (wanted == policy_.wanted()) return;
  try {
    link_->run(fmt::format("SELECT {}.want_wakes($1, $2)", state_.schema), Params().text(state_.id).boolean(wanted));
  } catch (const DatabaseError& e) {
    if (e.sqlstate() != "55P03") throw;
    // Somebody holds this worker's row. That keeps nobody from claiming.
    return policy_.put_off(Clock::now());
  }
  policy_.changed(Clock::now());
  newest_ = 0;
  if (wanted) {
    // An enqueue that looked before the flag was committed wakes nobody: until every transaction of that time has ended, poll.
    // A new transaction's id is greater than any that has looked without seeing the flag; a snapshot's xmax need not be.
    newest_ = number(link_->run("SELECT pg_current_xact_id()").text(0, 0));
    again_ = true;
  }
}

void Claimer::wait() {
  auto until = Clock::now() + state_.options.poll_interval;
  const auto sooner = [&](Clock::duration delay) { until = std::min(until, Clock::now() + delay); };
  bool drained = true;
  const auto now = Clock::now();
  for (const Lookout& lookout : lookouts_) {
    drained = drained && lookout.drained;
    // What is due while it may not claim is found when it may.
    until = std::min(until, std::max(lookout.next_due, lookout.not_before));
    if (lookout.not_before > now) until = std::min(until, lookout.not_before);
    if (!lookout.looked && lookout.look_at > now) until = std::min(until, lookout.look_at);
  }
  if (state_.options.listen) {
    if (newest_ != 0) sooner(200ms);
    if (drained && !policy_.wanted()) sooner(20ms);
  }
  if (Clock::now() < alone_until_ || room_since_ != Clock::time_point{}) sooner(20ms);
  state_.claimer_bell.wait_until(until);
  const int wakes = state_.wakes.exchange(0);
  for (int i = 0; i < wakes; ++i) policy_.woken(Clock::now());
}

}  // namespace millrace::worker
