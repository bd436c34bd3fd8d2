// What is said to the database of how runs ended, and what it answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "worker/state.hpp"

namespace millrace::worker {

/// What the database answered when a failure was recorded.
struct Recorded {
  std::string status{};
  std::optional<Time> run_at{};
};

/// A task whose settlement was not recorded: somebody else has its row (held), or the lease was lost.
struct Verdict {
  std::int64_t id = 0;
  bool held = false;
};

struct Answer {
  std::vector<Verdict> exceptions{};
  std::unordered_map<std::int64_t, Recorded> failed{};  ///< What became of the tasks whose failure was recorded.
};

/// The text of an array of leases.
[[nodiscard]] std::string array_of(const std::vector<LeaseId>& leases);

/// Records settlements of one kind, in one call or very few. `careful` steps over rows that somebody else has. Throws as
/// Connection::run does; then it may be repeated.
[[nodiscard]] Answer send(State& state, postgres::Connection& link, const std::vector<Settlement>& part, bool careful);

}  // namespace millrace::worker
