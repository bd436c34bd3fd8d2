#include "worker/announcer.hpp"

#include "worker/about.hpp"

#include <millrace/outcome.hpp>

#include <algorithm>
#include <utility>

namespace millrace {

std::string_view to_string(Event event) noexcept {
  switch (event) {
    case Event::started: return "started";
    case Event::completed: return "completed";
    case Event::failed: return "failed";
    case Event::retrying: return "retrying";
    case Event::cancelled: return "cancelled";
    case Event::dead: return "dead";
  }
  return "unknown";
}

namespace worker {
namespace {

constexpr auto between_warnings = std::chrono::seconds(10);

}  // namespace

void Announcer::listen(Event event, Listener listener) {
  wanted_ |= bit(event);
  listeners_.at(static_cast<std::size_t>(event)).push_back(std::move(listener));
}

void Announcer::add_start(const Claimed& task, spdlog::logger& log) {
  std::vector<Announcement> one;
  one.push_back(about_task(Event::started, task));
  {
    const std::lock_guard lock(mutex_);
    if (settling_.contains(task.id().value)) {
      held_back_.push_back(std::move(one.front()));
      return;
    }
  }
  add(std::move(one), log);
}

Announcer::Settling::Settling(Announcer& announcer, const std::vector<Settlement>& part) : announcer_(announcer) {
  using Kind = Settlement::Kind;
  // Only these may run again.
  if (!announcer.wants(Event::started) || (part.front().kind != Kind::fail && part.front().kind != Kind::release)) return;
  ids_.reserve(part.size());
  for (const Settlement& one : part) ids_.push_back(one.id().value);
  const std::lock_guard lock(announcer_.mutex_);
  for (const std::int64_t id : ids_) ++announcer_.settling_[id];
}

Announcer::Settling::~Settling() {
  if (!ids_.empty()) announcer_.let_go(ids_);
}

void Announcer::let_go(const std::vector<std::int64_t>& ids) {
  {
    const std::lock_guard lock(mutex_);
    for (const std::int64_t id : ids) {
      if (const auto found = settling_.find(id); --found->second == 0) settling_.erase(found);
    }
    for (Announcement& one : held_back_) {
      if (!settling_.contains(one.event.id.value)) push(std::exchange(one, {}));
    }
    std::erase_if(held_back_, [&](const Announcement& one) { return one.event.kind.empty(); });
  }
  news_.notify_one();
}

Announcement Announcer::about_task(Event event, const Claimed& task) {
  Announcement announcement;
  TaskEvent& it = announcement.event;
  it.event = event;
  it.at = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  it.id = task.id();
  it.kind = task.kind();
  it.queue = task.batch->queue;
  it.attempt = task.attempt();
  it.max_attempts = task.max_attempts();
  announcement.about = task.about();
  return announcement;
}

// Under the mutex.
void Announcer::push(Announcement announcement) {
  if (closed_) return;
  if (waiting_.size() == waiting_max) {
    waiting_.pop_front();
    ++dropped_;
  }
  waiting_.push_back(std::move(announcement));
}

void Announcer::add(std::vector<Announcement> announcements, spdlog::logger& log) {
  std::int64_t dropped = 0;
  {
    const std::lock_guard lock(mutex_);
    const std::int64_t before = dropped_;
    for (Announcement& one : announcements) {
      if (wants(one.event.event)) push(std::move(one));
    }
    if (dropped_ > before && Clock::now() >= next_warning_) {
      next_warning_ = Clock::now() + between_warnings;
      dropped = dropped_;
    }
  }
  news_.notify_one();
  if (dropped > 0)
    log.warn("listeners are too slow: {} events wait, and the oldest are dropped ({} so far); the tasks are not affected", waiting_max,
             dropped);
}

void Announcer::tell(Announcement& announcement, spdlog::logger& log) const {
  TaskEvent& event = announcement.event;
  try {
    About about = read_about(announcement.about);
    event.correlation = std::move(about.correlation);
    event.tenant = std::move(about.tenant);
    event.traceparent = std::move(about.traceparent);
    event.metadata = std::move(about.metadata);
  } catch (const std::exception& e) {
    log.error("what was said about task {} ({}) cannot be read for listeners: {}", event.id.value, event.kind, e.what());
  }
  for (const Listener& listener : listeners_.at(static_cast<std::size_t>(event.event))) {
    try {
      listener(event);
    } catch (const std::exception& e) {
      log.error("a listener to {} threw, for task {} ({}): {}", to_string(event.event), event.id.value, event.kind, text_of(e));
    } catch (...) {
      log.error("a listener to {} threw, for task {} ({}), something that is no std::exception", to_string(event.event), event.id.value,
                event.kind);
    }
  }
}

void Announcer::run(spdlog::logger& log) {
  std::unique_lock lock(mutex_);
  for (;;) {
    news_.wait(lock, [this] { return !waiting_.empty() || closed_; });
    if (waiting_.empty()) break;
    Announcement next = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    tell(next, log);
    lock.lock();
  }
  ended_ = true;
  end_.notify_all();
}

bool Announcer::close(Clock::time_point until, spdlog::logger& log) {
  std::size_t left = 0;
  bool ended = false;
  {
    std::unique_lock lock(mutex_);
    closed_ = true;
    news_.notify_one();
    ended = end_.wait_until(lock, until, [this] { return ended_; });
    left = waiting_.size();
    dropped_ += static_cast<std::int64_t>(left);
    waiting_.clear();
  }
  if (!ended) log.error("a listener has not returned; {} events behind it are dropped, and its thread is left behind", left);
  return ended;
}

std::int64_t Announcer::dropped() {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

}  // namespace worker
}  // namespace millrace
