// Waiting for news of one task.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <millrace/types.hpp>

#include "postgres/connection.hpp"

namespace millrace::engine {

/// Watches one task on a session of its own: by LISTEN, or by looking. Whatever happens between two looks is not lost;
/// a lost connection is replaced, and the watcher told to look again. docs/progress.md tells how. Not thread-safe.
class Watch {
 public:
  using Clock = std::chrono::steady_clock;
  /// Makes a session for it.
  using Connect = std::function<std::unique_ptr<postgres::Connection>()>;

  /// Begins to watch; `follow`: for its progress and log lines too. `listen` false: only looks. `link` is a session to
  /// use, if there is one; otherwise one is made. Throws ConnectionError if that fails.
  Watch(Connect connect, std::unique_ptr<postgres::Connection> link, const std::string& schema, TaskId id, bool follow, bool listen);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  Watch(Watch&&) = delete;
  Watch& operator=(Watch&&) = delete;

  /// Calls `look` with the session, now and whenever there may be news, until it returns true (then returns true) or
  /// `until` has passed (false). Throws what `look` throws, but for a lost connection, which is replaced for up to a minute.
  /// After each look it calls `tell`, for what is not this session's matter, and throws whatever that throws.
  bool run(const std::function<bool(postgres::Connection&)>& look, const std::function<void()>& tell, Clock::time_point until);
  /// The session, for whoever has a use for it afterwards; empty if it is broken.
  [[nodiscard]] std::unique_ptr<postgres::Connection> take_link();

 private:
  void begin();
  void end() noexcept;
  void renew();
  void pause(Clock::time_point until);
  void reconnect(const ConnectionError& error, Clock::time_point until);
  [[nodiscard]] bool may_have_missed();

  Connect connect_;
  std::unique_ptr<postgres::Connection> link_;
  std::string schema_;  // quoted
  TaskId id_;
  bool follow_;
  bool listen_;
  std::int64_t wait_ = 0;     // the row in waits; 0: none
  std::uint64_t newest_ = 0;  // until xmin reaches it, an end may be under way that has not seen our row
  Milliseconds pace_{0};      // of looking without being told
  Clock::time_point renew_at_{};
};

}  // namespace millrace::engine
