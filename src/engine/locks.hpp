// Named locks: SQL's functions, typed.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/lock.hpp>

#include "engine/enqueue.hpp"

namespace millrace::engine {

// As the functions of millrace/lock.hpp, through `run`.
LockAttempt acquire_lock(const Run& run, std::string_view schema, std::string_view name, std::string_view owner, Milliseconds ttl);
Time extend_lock(const Run& run, std::string_view schema, std::string_view name, LockToken token, Milliseconds ttl);
bool release_lock(const Run& run, std::string_view schema, std::string_view name, LockToken token);
std::optional<LockRecord> lock_holder(const Run& run, std::string_view schema, std::string_view name);
void assert_lock(const Run& run, std::string_view schema, std::string_view name, LockToken token);
/// All that are held, by name.
std::vector<LockRecord> list_locks(const Run& run, std::string_view schema);

/// An owner that nobody else is: this host and process, and a random number.
[[nodiscard]] std::string fresh_owner();

/// Calls `attempt` until it acquires, or `wait` is over; once at least. Throws InvalidArgument("wait") outside 0 to 365 days.
LockAttempt keep_trying(const std::function<LockAttempt()>& attempt, Milliseconds wait);

}  // namespace millrace::engine
