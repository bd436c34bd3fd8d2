// Following a live queue from outside: what becomes of its tasks, as it happens.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <millrace/types.hpp>

namespace millrace {

/// A task that went into another status.
struct Transition {
  Time at{};  ///< By the database's clock: when it happened, or, for what leaves no time behind (a task given back), when it was seen.
  TaskId id{};
  std::string kind{};
  std::string queue{};
  Status status = Status::pending;  ///< The one it went into.
  int attempt = 0;
  int max_attempts = 0;
  std::optional<Milliseconds> duration{};  ///< Of the run that ended with this.
  std::string error{};                     ///< What the run that ended with this said; at most 1000 characters.
  std::optional<std::string> reason{};     ///< cancelled: "expired"; none if somebody cancelled it.
  std::optional<Time> run_at{};            ///< scheduled, retrying: not before this time.
  std::optional<std::string> correlation{};
};

/// What to follow. Unset fields match everything.
struct TailOptions {
  std::optional<std::string> queue{};
  std::optional<std::string> kind{};
  std::optional<std::string> correlation{};  ///< Found by an index, so no end of its newest 1,000 tasks is missed.
  /// Also what happened so long before the first look (1 ms to 1 year), as far as the newest 1,000 tasks, the dead letters and
  /// what runs now can tell. Unset: only what happens from now on.
  std::optional<Milliseconds> since{};
  Milliseconds interval{500};  ///< How often it looks; 50 ms to 1 minute.
  /// Called once, when the first look has been made: whatever is enqueued after that is followed.
  std::function<void()> on_ready{};
  /// Called when tasks are enqueued faster than they can be shown (10,000 per second), with how many were passed over, about.
  std::function<void(std::int64_t)> on_skipped{};
};

}  // namespace millrace
