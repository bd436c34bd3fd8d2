// From settlements that are on record to the events that tell of them.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "worker/settle.hpp"

namespace millrace::worker {

/// Announces how the tasks of these settlements ended. All of them are on record; `recorded` holds the answers for failures, and
/// `connection` is asked for what no answer told: which releases were cancellations, and what became of a failure whose first
/// answer was lost. Throws nothing: what cannot be found out is logged and not told.
void announce_ends(State& state, const std::vector<const Settlement*>& ends, const std::unordered_map<std::int64_t, Recorded>& recorded,
                   const std::function<postgres::Connection&()>& connection);

}  // namespace millrace::worker
