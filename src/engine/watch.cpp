#include "engine/watch.hpp"

#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <thread>
#include <utility>

namespace millrace::engine {
namespace {

using namespace std::chrono_literals;
using postgres::Params;

// Without being told it looks after 5 ms, and ever more seldom.
constexpr Milliseconds pace_first = 5ms;
constexpr Milliseconds pace_last = 250ms;
// Its row lasts a minute. What nobody tells, such as a task that is deleted, is seen when the row is renewed.
constexpr auto renewal = 20s;
constexpr auto patience = 60s;

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

Watch::Watch(Connect connect, std::unique_ptr<postgres::Connection> link, const std::string& schema, TaskId id, bool follow, bool listen)
    : connect_(std::move(connect)),
      link_(std::move(link)),
      schema_(base::quote_identifier(schema)),
      id_(id),
      follow_(follow),
      listen_(listen) {
  if (link_) {
    try {
      begin();
      return;
    } catch (const ConnectionError&) {
      // It broke while nobody used it.
      link_.reset();
    }
  }
  link_ = connect_();
  try {
    begin();
  } catch (const ConnectionError&) {
    link_.reset();  // run() replaces it
  }
}

Watch::~Watch() { end(); }

void Watch::begin() {
  pace_ = pace_first;
  wait_ = 0;
  newest_ = 0;
  if (!listen_) return;
  // In this order, each committed before the next: listen, be seen by whoever settles, look.
  try {
    link_->listen(link_->run(fmt::format("SELECT {}.task_channel($1)", schema_), Params().integer(id_.value)).text(0, 0));
    wait_ = link_->run(fmt::format("SELECT {}.begin_wait($1, $2)", schema_), Params().integer(id_.value).boolean(follow_)).integer(0, 0);
    // A new transaction's id is greater than any that has looked without seeing our row; a snapshot's xmax need not be.
    newest_ = number(link_->run("SELECT pg_current_xact_id()").text(0, 0));
  } catch (const DatabaseError& e) {
    if (e.sqlstate() != "42501" && e.sqlstate() != "25006") throw;
    // This role, or this server, may only read: so it looks.
    listen_ = false;
  }
  renew_at_ = Clock::now() + renewal;
}

void Watch::end() noexcept {
  if (!link_ || link_->broken()) return;
  try {
    if (wait_ != 0) link_->run(fmt::format("SELECT {}.end_wait($1, $2)", schema_), Params().integer(id_.value).integer(wait_));
    link_->deafen();
  } catch (const std::exception&) {
    link_.reset();  // the row expires by itself
  }
  wait_ = 0;
}

std::unique_ptr<postgres::Connection> Watch::take_link() {
  end();
  if (link_ && link_->broken()) link_.reset();
  return std::move(link_);
}

void Watch::renew() {
  if (!listen_ || Clock::now() < renew_at_) return;
  const auto rows = link_->run(fmt::format("SELECT {}.renew_wait($1, $2)", schema_), Params().integer(id_.value).integer(wait_));
  renew_at_ = Clock::now() + renewal;
  if (!rows.boolean(0, 0)) {
    link_->deafen();
    begin();
  }
}

bool Watch::may_have_missed() {
  if (newest_ == 0) return false;
  if (number(link_->run("SELECT pg_snapshot_xmin(pg_current_snapshot())").text(0, 0)) < newest_) return true;
  newest_ = 0;
  return false;
}

void Watch::pause(Clock::time_point until) {
  const auto at_most = [&](Clock::duration time) {
    return std::max(std::chrono::ceil<Milliseconds>(std::min(time, until - Clock::now())), 0ms);
  };
  if (listen_ && newest_ == 0) {
    link_->wait(at_most(renew_at_ - Clock::now()));
    return;
  }
  // Listening, a notification still ends the pause.
  listen_ ? static_cast<void>(link_->wait(at_most(pace_))) : std::this_thread::sleep_for(at_most(pace_));
  pace_ = std::min(pace_ * 2, pace_last);
}

void Watch::reconnect(const ConnectionError& error, Clock::time_point until) {
  const auto give_up = Clock::now() + patience;
  link_.reset();
  for (Milliseconds delay = 50ms; Clock::now() < until; delay = std::min(delay * 2, Milliseconds(2s))) {
    try {
      link_ = connect_();
      begin();
      return;
    } catch (const ConnectionError& again) {
      link_.reset();
      if (Clock::now() > give_up) throw;
    }
    std::this_thread::sleep_for(std::max(std::min<Clock::duration>(delay, until - Clock::now()), Clock::duration::zero()));
  }
  // The time is over and the database away.
  throw error;
}

bool Watch::run(const std::function<bool(postgres::Connection&)>& look, const std::function<void()>& tell, Clock::time_point until) {
  if (!link_) reconnect(ConnectionError("the connection to the database was lost"), until);
  for (;;) {
    bool over = false;
    try {
      // What may have been missed is asked before the look: an end that came between the two is seen by the look.
      static_cast<void>(may_have_missed());
      over = look(*link_);
    } catch (const ConnectionError& e) {
      reconnect(e, until);
      continue;
    }
    tell();
    if (over) return true;
    if (Clock::now() >= until) return false;
    try {
      pause(until);
      renew();
    } catch (const ConnectionError& e) {
      reconnect(e, until);
    }
  }
}

}  // namespace millrace::engine
