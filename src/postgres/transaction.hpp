// A transaction that is handed to a handler, and committed by us.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "postgres/connection.hpp"

namespace pqxx {
class transaction_base;
}

namespace millrace::postgres {

/// One statement within anybody's transaction, with errors translated as Connection does for this schema.
Result run_within(pqxx::transaction_base& transaction, std::string_view schema, const std::string& sql, const Params& params);

/// READ COMMITTED on a connection that nothing else uses meanwhile; rolled back unless committed. Not thread-safe.
class Transaction {
 public:
  explicit Transaction(Connection& connection);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  Transaction(Transaction&&) = delete;
  Transaction& operator=(Transaction&&) = delete;

  [[nodiscard]] pqxx::transaction_base& driver() noexcept;
  Result run(const std::string& sql, const Params& params = {});
  /// Throws OutcomeUnknown if the connection broke before the answer came; what else it throws means rolled back.
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::postgres
