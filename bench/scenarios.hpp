// The scenarios. Each makes a schema of its own, measures in interleaved rounds, and drops it.
#pragma once

#include <functional>
#include <vector>

#include <millrace/types.hpp>

#include "report.hpp"

namespace millrace::bench {

[[nodiscard]] std::vector<Json> drain(const ConnectionString& database, const Options& options);
[[nodiscard]] std::vector<Json> pinned(const ConnectionString& database, const Options& options);
[[nodiscard]] std::vector<Json> backlog(const ConnectionString& database, const Options& options);
[[nodiscard]] std::vector<Json> wake(const ConnectionString& database, const Options& options);
[[nodiscard]] std::vector<Json> ticks(const ConnectionString& database, const Options& options);
[[nodiscard]] std::vector<Json> wait(const ConnectionString& database, const Options& options);
[[nodiscard]] std::vector<Json> cancel(const ConnectionString& database, const Options& options);
[[nodiscard]] std::vector<Json> enqueue(const ConnectionString& database, const Options& options);

/// Runs `rounds` rounds of both, in turns, and every other round in the other order, so that drift hits them alike.
inline void interleave(int rounds, const std::function<void(int)>& one, const std::function<void(int)>& other) {
  for (int round = 1; round <= rounds; ++round) {
    if (round % 2 == 1) one(round);
    other(round);
    if (round % 2 == 0) one(round);
  }
}

}  // namespace millrace::bench
