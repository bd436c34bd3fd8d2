// The thread that tells listeners what happened, and the queue in front of it.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <spdlog/logger.h>

#include <millrace/events.hpp>

#include "worker/claimed.hpp"

namespace millrace::worker {

/// An event on its way to the listeners: `about` is read by the thread that tells, not by the one that settles.
struct Announcement {
  TaskEvent event{};
  std::string about{};
};

/// Nothing here is held while a listener runs: whoever adds never waits for one. Thread-safe, but for listen().
class Announcer {
 public:
  /// So many events may wait; with one more the oldest is dropped, and counted.
  static constexpr std::size_t waiting_max = 10'000;

  /// Before any other thread is here.
  void listen(Event event, Listener listener);
  /// Whether anybody listens to anything, or to this.
  [[nodiscard]] bool wanted() const noexcept { return wanted_ != 0; }
  [[nodiscard]] bool wants(Event event) const noexcept { return (wanted_ & bit(event)) != 0; }

  /// A handler is about to begin. Returns the time, for ran(); nothing of it if nobody listens.
  [[nodiscard]] Clock::time_point began(const Claimed& task, spdlog::logger& log) {
    if (!wanted()) return {};
    if (wants(Event::started)) add_start(task, log);
    return Clock::now();
  }
  /// How long ago began() returned that.
  [[nodiscard]] std::optional<Clock::duration> ran(Clock::time_point began) const {
    if (!wanted()) return {};
    return Clock::now() - began;
  }
  /// While it lives, these settlements are on their way: a task of theirs may be claimed again before its end is announced, and the
  /// start of that run is then told after it.
  class Settling {
   public:
    Settling(Announcer& announcer, const std::vector<Settlement>& part);
    ~Settling();
    Settling(const Settling&) = delete;
    Settling& operator=(const Settling&) = delete;
    Settling(Settling&&) = delete;
    Settling& operator=(Settling&&) = delete;

   private:
    Announcer& announcer_;
    std::vector<std::int64_t> ids_{};
  };

  /// Adds those of them that somebody listens to.
  void add(std::vector<Announcement> announcements, spdlog::logger& log);
  /// An event of this task, with what every event has.
  [[nodiscard]] static Announcement about_task(Event event, const Claimed& task);

  /// Tells what comes, until closed and drained.
  void run(spdlog::logger& log);
  /// Nothing more comes; what still waits at `until` is dropped. Returns whether run() has ended: if not, a listener still runs.
  bool close(Clock::time_point until, spdlog::logger& log);
  /// How many events were dropped so far.
  [[nodiscard]] std::int64_t dropped();

 private:
  static constexpr unsigned bit(Event event) noexcept { return 1U << static_cast<unsigned>(event); }
  void add_start(const Claimed& task, spdlog::logger& log);
  void tell(Announcement& announcement, spdlog::logger& log) const;
  void push(Announcement announcement);
  void let_go(const std::vector<std::int64_t>& ids);

  unsigned wanted_ = 0;
  std::array<std::vector<Listener>, 6> listeners_{};
  std::mutex mutex_;
  std::condition_variable news_, end_;
  std::deque<Announcement> waiting_;
  std::unordered_map<std::int64_t, int> settling_;  // tasks, and how many settlements of each are on their way
  std::vector<Announcement> held_back_;             // starts of such tasks
  std::int64_t dropped_ = 0;
  Clock::time_point next_warning_{};
  bool closed_ = false;
  bool ended_ = false;
};

}  // namespace millrace::worker
