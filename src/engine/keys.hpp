// What an enqueue says beyond the plain options: what the task is about, and its keys.
#pragma once

#include <string>

#include <millrace/enqueue.hpp>

#include "postgres/params.hpp"

namespace millrace::engine {

/// Whether any of expires_at, expires_in, correlation, tenant, tags, metadata and traceparent is given.
[[nodiscard]] bool says_about(const EnqueueOptions& options);
/// Whether any key, or an option of keys, is given.
[[nodiscard]] bool has_keys(const EnqueueOptions& options);

/// Throws InvalidArgument for what is out of range.
void check_about(const EnqueueOptions& options);
/// The same for keys, and for those that cannot be given together.
void check_keys(const EnqueueOptions& options);
/// Throws InvalidArgument if keys are given to `what`, which knows none.
void refuse_keys(const EnqueueOptions& options, const char* what);
/// Throws InvalidArgument if anything of says_about() is given to `what`.
void refuse_about(const EnqueueOptions& options, const char* what);

/// The tags as an array in SQL's text; none if there are none.
[[nodiscard]] std::optional<std::string> tags_text(const EnqueueOptions& options);
/// Adds expires_at, expires_in, correlation, tenant, tags, metadata and traceparent, in the order of the SQL functions.
void bind_about(postgres::Params& params, const EnqueueOptions& options);
/// Adds key, key_for, unique_key, unique_by, unique_for, debounce, debounce_max, throttle and replace, in that order.
void bind_keys(postgres::Params& params, const EnqueueOptions& options);

}  // namespace millrace::engine
