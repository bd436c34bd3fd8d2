// What a claim brought: a batch under one lease, and one task of it.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string_view>
#include <vector>

#include <millrace/types.hpp>

#include "postgres/result.hpp"

namespace millrace::worker {

using Clock = std::chrono::steady_clock;

/// The rows of one claim, shared by its tasks: texts are read where the driver put them.
struct Batch {
  LeaseId lease{};
  postgres::Result rows{};
  std::string queue{};
  std::string started_at{};
  std::atomic<bool> lost{false};  ///< The lease is gone: what has not begun must not begin.
};

/// One claimed task. Columns are those of SQL's claim().
struct Claimed {
  std::shared_ptr<Batch> batch{};
  int row = 0;
  Clock::time_point since{};

  [[nodiscard]] TaskId id() const { return {batch->rows.integer(row, 0)}; }
  [[nodiscard]] std::string_view hint() const noexcept { return batch->rows.text(row, 1); }
  [[nodiscard]] std::string_view kind() const noexcept { return batch->rows.text(row, 2); }
  [[nodiscard]] std::string_view args() const noexcept { return batch->rows.text(row, 3); }
  [[nodiscard]] int attempt() const { return static_cast<int>(batch->rows.integer(row, 4)); }
  [[nodiscard]] int max_attempts() const { return static_cast<int>(batch->rows.integer(row, 5)); }
  [[nodiscard]] std::optional<Time> run_at() const { return batch->rows.time(row, 7); }
  [[nodiscard]] std::optional<Milliseconds> timeout() const {
    if (batch->rows.is_null(row, 8)) return {};
    return Milliseconds(batch->rows.integer(row, 8));
  }
  /// What was said about it at enqueue, as a JSON object; empty if nothing was.
  [[nodiscard]] std::string_view about() const noexcept { return batch->rows.text(row, 9); }
};

/// How a run ended, on its way to the database.
struct Settlement {
  /// committed: completed within the handler's own transaction, so that there is nothing left to write.
  enum class Kind : std::uint8_t { complete, fail, cancel, release, committed };
  Kind kind = Kind::complete;
  std::shared_ptr<Batch> batch{};
  int row = 0;
  std::string
      text{};  ///< complete: the result's JSON, empty for none. fail: the message. cancel: the reason. release: a note, empty for none.
  bool final = false;                   ///< fail: never retry.
  bool reported = false;                ///< The board may still hold what its handler said.
  std::optional<Milliseconds> delay{};  ///< fail, release: when to run again; fail without: by the retry policy.

  [[nodiscard]] TaskId id() const { return {batch->rows.integer(row, 0)}; }
  [[nodiscard]] std::string_view hint() const noexcept { return batch->rows.text(row, 1); }
};

}  // namespace millrace::worker
