// The ceiling of drain: a hand-written libpq loop over the same tables.
#pragma once

#include <string>

#include "scratch.hpp"

namespace millrace::bench {

/// The ceiling's claim: $1 and $2 are the cursor, $3 the batch. Returns ctid, id, kind, args, attempt, run_at.
[[nodiscard]] std::string ceiling_claim(const Scratch& scratch, const std::string& queue);
/// One thread claims batches, one completes them, nothing else. Returns the seconds until the last completion was recorded.
[[nodiscard]] double ceiling_drain(const Scratch& scratch, int batch, int tasks);

}  // namespace millrace::bench
