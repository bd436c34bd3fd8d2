#include "worker/ends.hpp"

#include <fmt/format.h>

namespace millrace::worker {
namespace {

using Answers = std::unordered_map<std::int64_t, Recorded>;
using Kind = Settlement::Kind;

// What the rows say of those whose end no answer told.
Answers look_again(State& state, const std::vector<const Settlement*>& ends, const Answers& recorded,
                   const std::function<postgres::Connection&()>& connection) {
  postgres::ArrayText ids, leases;
  bool any = false;
  for (const Settlement* one : ends) {
    const bool cancelled_maybe = one->kind == Kind::release && state.announcer.wants(Event::cancelled);
    const bool unanswered = one->kind == Kind::fail && recorded.count(one->id().value) == 0;
    if (!cancelled_maybe && !unanswered) continue;
    ids.integer(one->id().value);
    leases.integer(one->batch->lease.value);
    any = true;
  }
  Answers answers;
  if (!any) return answers;
  // Under another lease the row speaks of another run.
  const auto rows = connection().run(fmt::format("SELECT t.id, t.status, t.run_at FROM unnest($1::bigint[], $2::bigint[]) AS u (id, lease)"
                                                 " JOIN {}.tasks t ON t.id = u.id AND t.lease = u.lease",
                                                 state.schema),
                                     postgres::Params().text(std::move(ids).take()).text(std::move(leases).take()));
  for (int row = 0; row < rows.size(); ++row)
    answers.emplace(rows.integer(row, 0), Recorded{.status = std::string(rows.text(row, 1)), .run_at = rows.time(row, 2)});
  return answers;
}

Announcement announcement_of(Event event, const Settlement& one) {
  Announcement announcement = Announcer::about_task(event, {.batch = one.batch, .row = one.row});
  if (one.ran) announcement.event.duration = std::chrono::duration_cast<Milliseconds>(*one.ran);
  if (event != Event::completed) announcement.event.error = one.text;
  return announcement;
}

// A failed attempt, then what became of its task.
void add_failure(std::vector<Announcement>& events, const Settlement& one, const Recorded& became) {
  if (became.status == "completed") {
    // Its handler's own transaction was committed after all, and only the answer was lost.
    events.push_back(announcement_of(Event::completed, one));
    return;
  }
  events.push_back(announcement_of(Event::failed, one));
  if (became.status == "failed") {
    events.push_back(announcement_of(Event::dead, one));
  } else if (became.status == "cancelled") {
    events.push_back(announcement_of(Event::cancelled, one));
  } else {
    // Retrying; if its row was read later, it may be on its way again.
    events.push_back(announcement_of(Event::retrying, one));
    if (became.status == "retrying") events.back().event.next_run = became.run_at;
  }
}

}  // namespace

void announce_ends(State& state, const std::vector<const Settlement*>& ends, const Answers& recorded,
                   const std::function<postgres::Connection&()>& connection) {
  Answers looked;
  try {
    looked = look_again(state, ends, recorded, connection);
  } catch (const Error& e) {
    state.log->warn("listeners are not told how some tasks ended, because that could not be read: {}", e.what());
  }
  std::vector<Announcement> events;
  for (const Settlement* one : ends) {
    const std::int64_t id = one->id().value;
    const auto seen = looked.find(id);
    switch (one->kind) {
      case Kind::complete:
      case Kind::committed: events.push_back(announcement_of(Event::completed, *one)); break;
      case Kind::cancel: events.push_back(announcement_of(Event::cancelled, *one)); break;
      case Kind::release:
        if (seen != looked.end() && seen->second.status == "cancelled") events.push_back(announcement_of(Event::cancelled, *one));
        break;
      case Kind::fail:
        if (const auto answer = recorded.find(id); answer != recorded.end())
          add_failure(events, *one, answer->second);
        else if (seen != looked.end())
          add_failure(events, *one, seen->second);
        break;
    }
  }
  if (!events.empty()) state.announcer.add(std::move(events), *state.log);
}

}  // namespace millrace::worker
