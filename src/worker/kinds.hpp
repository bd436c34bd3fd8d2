// What the program handles, and what it declares of that in the database.
#pragma once

#include <string>

#include "worker/state.hpp"

namespace millrace::worker {

/// Adds a kind and its aliases. Throws InvalidArgument for a name or a default out of range, and if one has a handler already.
void add_kind(State& state, std::string name, RawHandler handler, KindOptions options, bool declared);

/// Writes the declared kinds into the table kinds, where they differ.
void register_kinds(const State& state, postgres::Connection& link);

}  // namespace millrace::worker
