// Enqueuing in the caller's own transaction: in it, or not at all.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/types.hpp>

namespace pqxx {
class transaction_base;
}

namespace millrace {

/// What a task definition, or a single enqueue, may say about a task. Unset fields take the default.
struct EnqueueOptions {
  std::optional<std::string> queue{};     ///< Lane of the task; 1 to 128 bytes. Default "default".
  std::optional<Priority> priority{};     ///< Default Priority::normal (50).
  std::optional<Milliseconds> delay{};    ///< Not before now + delay, by the database's clock; 0 to 100 years. Excludes run_at.
  std::optional<Time> run_at{};           ///< Not before this time; the years 1970 to 9999. Default: at once.
  std::optional<int> max_attempts{};      ///< Runs before the task becomes a dead letter; 1 to 1000. Default 5.
  std::optional<Backoff> backoff{};       ///< Retry policy. Default exponential(15s, 1h).
  std::optional<Milliseconds> timeout{};  ///< Longest run of one attempt; 1 ms to 365 days. Default: none.
  bool wake = true;  ///< Notify an idle worker. Set false if the transaction will be PREPAREd: Postgres forbids NOTIFY there.
  std::string schema = "millrace";  ///< The Millrace schema; 1 to 63 bytes.
};

/// The answer to an enqueue.
struct Enqueued {
  TaskId id{};
  Status status = Status::pending;  ///< pending, or scheduled if its time is in the future.
  bool created = true;              ///< Whether this call made the task.
};

/// Adds a task within `tx`; it exists when `tx` commits. `args` is the text of a JSON object, stored as jsonb.
/// Throws InvalidArgument before anything is sent (kind, queue, args: malformed JSON, not an object, over 128 levels,
/// a NUL, not UTF-8, too large; options out of range), DatabaseError or SchemaError for what the database refuses.
/// Uses `tx` only; as thread-safe as `tx` is.
Enqueued enqueue(pqxx::transaction_base& tx, std::string_view kind, std::string_view args = "{}", const EnqueueOptions& options = {});

/// Adds one task per element of `args` within `tx`, all with the same options, and returns their ids in the same order.
/// Sends them in parts of at most 10,000 tasks or 8 MiB. Throws as enqueue() does; the message tells the element's index.
std::vector<TaskId> enqueue_many(pqxx::transaction_base& tx, std::string_view kind, std::span<const std::string> args,
                                 const EnqueueOptions& options = {});

}  // namespace millrace
