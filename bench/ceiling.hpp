// The ceiling of draining: one thread claims batches, one completes them, nothing else, by hand over libpq.
#pragma once

#include <string>

#include <millrace/types.hpp>

namespace millrace::bench {

/// Drains the default queue of `schema` in batches of `batch`; returns tasks per second.
double drain_by_hand(const ConnectionString& database, const std::string& schema, int batch);

/// The statement with which it claims, of which $1 and $2 are the cursor and $3 the batch.
[[nodiscard]] std::string claim_by_hand(const std::string& schema);

}  // namespace millrace::bench
