// The enqueue statements, for whoever can run one: the caller's transaction or our own connection.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/enqueue.hpp>

#include "postgres/params.hpp"
#include "postgres/result.hpp"

namespace millrace::engine {

/// Runs one statement and returns its rows.
using Run = std::function<postgres::Result(const std::string& sql, const postgres::Params& params)>;

/// Runs them in somebody's transaction, which must outlive it.
[[nodiscard]] Run through(pqxx::transaction_base& tx, const std::string& schema);

/// As millrace::enqueue, through `run`.
Enqueued enqueue(const Run& run, std::string_view kind, std::string_view args, const EnqueueOptions& options);

/// As millrace::enqueue_many, through `run`, which must be within one transaction.
std::vector<TaskId> enqueue_many(const Run& run, std::string_view kind, std::span<const std::string> args, const EnqueueOptions& options);

/// Throws InvalidArgument for a kind, or options, out of range.
void check_options(std::string_view kind, const EnqueueOptions& options);

/// A retry policy as the JSON that SQL's backoff_check() describes.
[[nodiscard]] std::string backoff_json(const Backoff& backoff);

}  // namespace millrace::engine
