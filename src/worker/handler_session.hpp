// The database session of one executor, for handlers that write in one transaction with their task's completion.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/enqueue.hpp>

#include "postgres/transaction.hpp"
#include "worker/state.hpp"

namespace millrace::worker {

/// Connects when a handler first asks for a transaction, and stays connected. At most one transaction at a time.
class HandlerSession {
 public:
  HandlerSession(State& state, Slot& slot) : state_(state), slot_(slot) {}

  /// The open transaction, begun now if there is none; its statements are cut off after `timeout`,
  /// and cancelled when the slot's run is asked to stop.
  [[nodiscard]] pqxx::transaction_base& transaction(std::optional<Milliseconds> timeout);
  [[nodiscard]] bool open() const noexcept { return transaction_ != nullptr; }
  /// Records the task as completed, with its result's JSON (empty for none), as the last statement, and commits.
  /// Throws LeaseLost, or OutcomeUnknown if it may or may not have been committed; after anything else it was rolled back.
  void commit(const Claimed& task, const std::string& result);
  void roll_back() noexcept;
  /// As millrace::enqueue, in a transaction of its own, beside the open one if there is one.
  Enqueued enqueue(std::string_view kind, std::string_view args, const EnqueueOptions& options);

 private:
  struct Session {
    std::unique_ptr<postgres::Connection> link{};
    int attached = 0;  // of state.registrations
  };
  postgres::Connection& connect(Session& session);
  State& state_;
  Slot& slot_;
  Session own_{};
  Session aside_{};  // for what a handler enqueues while its transaction is open
  std::unique_ptr<postgres::Transaction> transaction_{};
};

}  // namespace millrace::worker
