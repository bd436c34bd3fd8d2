// Enqueuing in the caller's own transaction: in it, or not at all.
#pragma once

#include <map>
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

  std::optional<Time> expires_at{};          ///< Not started by then, it is cancelled with the reason "expired"; the years 1970 to 9999.
  std::optional<Milliseconds> expires_in{};  ///< The same, so long from now; 1 ms to 100 years. Excludes expires_at.
  std::optional<std::string> correlation{};  ///< Ties together what belongs together; 1 to 128 bytes. Inherited: see Context::enqueue.
  std::optional<std::string> tenant{};       ///< The customer or user that it is for; 1 to 128 bytes.
  std::vector<std::string> tags{};           ///< To find it by; at most 16 of 1 to 64 bytes.
  std::map<std::string, std::string> metadata{};  ///< Texts by name (1 to 64 bytes), for handlers and people; at most 8192 bytes as JSON.
  std::optional<std::string> traceparent{};       ///< W3C trace context, version 00. Inherited as correlation is.

  // Keys: docs/keys.md. The answer tells whether this call made the task. Not for enqueue_many and schedules.
  std::optional<std::string> key{};         ///< Idempotency key: same kind and key, same task, also after its end; 1 to 256 bytes.
  std::optional<Milliseconds> key_for{};    ///< For so long; 1 ms to 3650 days. Default 24 hours. Needs a key.
  std::optional<std::string> unique_key{};  ///< What is the same: same kind and this text; 1 to 256 bytes.
  std::optional<std::vector<std::string>> unique_by{};  ///< Or: same kind and these fields of args; at most 16; empty: all args.
  std::optional<Milliseconds> unique_for{};  ///< One of these not only while it is live, but also for so long; 1 ms to 3650 days.
  std::optional<Milliseconds>
      debounce{};  ///< While it has not started the newest replaces it and moves its run back to so long from now; 1 ms to 30 days.
  std::optional<Milliseconds>
      debounce_max{};                      ///< But not beyond so long after the first; debounce to 365 days. Default: ten times debounce.
  std::optional<Milliseconds> throttle{};  ///< Only the first of these within so long; 1 ms to 3650 days.
  bool replace = false;                    ///< With unique_key or unique_by: a task that has not started gets these args and options.

  bool wake = true;  ///< Notify an idle worker. Set false if the transaction will be PREPAREd: Postgres forbids NOTIFY there.
  std::string schema = "millrace";  ///< The Millrace schema; 1 to 63 bytes.
};

/// The answer to an enqueue.
struct Enqueued {
  TaskId id{};
  Status status = Status::pending;  ///< pending, or scheduled if its time is in the future. Not created: any; completed if its row is gone.
  bool created = true;              ///< Whether this call made the task. False: it is the one that the key led to.
  bool replaced = false;            ///< Whether that one got this call's args and options (replace, debounce).
};

/// Adds a task within `tx`; it exists when `tx` commits. `args` is the text of a JSON object, stored as jsonb.
/// Throws InvalidArgument before anything is sent (kind, queue, args: malformed JSON, not an object, over 128 levels,
/// a NUL, not UTF-8, too large; options out of range), DatabaseError or SchemaError for what the database refuses.
/// With a key it may wait for another transaction that enqueues the same; two that do so in different order may get
/// DatabaseError 40P01 (above READ COMMITTED also 40001): repeat the transaction. Uses `tx` only; as thread-safe as `tx` is.
Enqueued enqueue(pqxx::transaction_base& tx, std::string_view kind, std::string_view args = "{}", const EnqueueOptions& options = {});

/// Adds one task per element of `args` within `tx`, all with the same options, and returns their ids in the same order.
/// Keys are refused. Sends them in parts of at most 10,000 tasks or 8 MiB. Throws as enqueue() does; the message tells the element's index.
std::vector<TaskId> enqueue_many(pqxx::transaction_base& tx, std::string_view kind, std::span<const std::string> args,
                                 const EnqueueOptions& options = {});

}  // namespace millrace
