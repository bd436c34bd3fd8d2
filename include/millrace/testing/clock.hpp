// The queue's time in a test's own database.
#pragma once

#include <memory>
#include <optional>

#include <millrace/types.hpp>

namespace millrace::testing {

class Database;

/// What the queue takes for the time: when tasks and schedules are due, when leases, keys and expiries end. It replaces the schema's
/// clock() in this one database. Timeouts, deadlines and everything else that this process waits for go by the real time.
/// Change it while no worker of yours runs: to one that does, a leap of more than its lease_ttl is its own death. (drain() is safe.)
/// Thread-safe. Every call may throw ConnectionError.
class Clock {
 public:
  ~Clock();
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  Clock(Clock&&) = delete;
  Clock& operator=(Clock&&) = delete;

  /// The queue's time now.
  [[nodiscard]] Time now();
  /// Goes forward by so much. A frozen clock stays frozen. Throws InvalidArgument("by") if it is negative: use set().
  void advance(Milliseconds by);
  /// Goes to this time, also backwards, and on from there. A frozen clock stays frozen. Throws InvalidArgument("time") outside the years
  /// 1970 to 9999.
  void set(Time time);
  /// Stands still, at the time it shows or at this one, until thaw(): two things that happen meanwhile happen at the same time.
  void freeze(std::optional<Time> at = {});
  /// Goes on from where it stands.
  void thaw();
  /// Back to the real time.
  void reset();
  [[nodiscard]] bool frozen() const noexcept;

 private:
  friend class Database;
  struct Impl;
  explicit Clock(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::testing
