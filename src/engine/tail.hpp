// Following a live queue by looking at it. docs/events.md tells what is looked at, and what is missed.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <millrace/tail.hpp>

#include "postgres/connection.hpp"

namespace millrace::engine {

/// What has been seen of a queue so far. Its size is bounded, whatever the queue holds. Not thread-safe.
class Tail {
 public:
  /// Throws InvalidArgument for options out of range.
  Tail(TailOptions options, const std::string& schema);

  /// Looks at the queue in a read-only transaction, and returns what happened since the last look, in the order of time. What it had
  /// seen when it throws ConnectionError is returned by the next look that succeeds.
  [[nodiscard]] std::vector<Transition> look(postgres::Connection& connection);
  /// About how many new tasks the last look passed over.
  [[nodiscard]] std::int64_t skipped() const noexcept { return skipped_; }
  [[nodiscard]] const TailOptions& options() const noexcept { return options_; }

 private:
  using Clock = std::chrono::steady_clock;
  // Ids below the highest seen that were not there: their transactions may commit yet, or were rolled back.
  struct Gap {
    std::int64_t low, high;  // exclusive
    Clock::time_point until;
  };
  struct Known {
    std::string mark{};
    Status status = Status::pending;
    std::optional<Time> started_at{};
    std::uint64_t changed = 0;  // the look that saw it change
  };
  struct Found {
    std::vector<std::int64_t> others{}, fresh{};
  };
  void begin(postgres::Connection& connection);
  [[nodiscard]] Found find(postgres::Connection& connection);
  [[nodiscard]] Found find_correlated(postgres::Connection& connection);
  void fill_gaps(std::vector<std::int64_t>& fresh);
  void skip_ahead(postgres::Connection& connection);
  void read(postgres::Connection& connection, const Found& found);
  void note(const postgres::Result& rows, int row, bool fresh);
  void forget();

  TailOptions options_;
  std::string schema_;  // quoted
  bool begun_ = false;
  std::uint64_t looks_ = 0;
  std::int64_t highest_ = 0;
  std::deque<Gap> gaps_;
  std::unordered_map<std::int64_t, Known> known_;
  // What was told lately, in two generations: what is forgotten here happened too long ago to be told as news.
  std::unordered_map<std::int64_t, std::string> told_, told_before_;
  Clock::time_point next_generation_{};
  bool full_ = false;  // the last find() brought a whole page of new tasks
  // Of looks that broke off before they could return it.
  std::vector<Transition> noted_;
  std::int64_t skipping_ = 0;
  std::int64_t skipped_ = 0;
};

}  // namespace millrace::engine
