// What handlers said, into the database.
#pragma once

#include "worker/state.hpp"

namespace millrace::worker {

/// Records it in one statement, fenced by the runs' leases. Throws what the connection throws.
void record_reports(const State& state, postgres::Connection& link, const Board::Reports& reports);

}  // namespace millrace::worker
