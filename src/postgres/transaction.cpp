#include "postgres/transaction.hpp"

#include "postgres/errors.hpp"

#include <millrace/error.hpp>

#include <fmt/format.h>
#include <pqxx/pqxx>

namespace millrace::postgres {

namespace {

// The statement with its parameters written in as literals. libpqxx 6 sends a statement with parameters even after the
// transaction was aborted, and so outside of any; only a plain one is refused then.
std::string written_out(const pqxx::transaction_base& transaction, const std::string& sql, const Params& params) {
  std::string out;
  for (std::size_t i = 0; i < sql.size(); ++i) {
    std::size_t number = 0;
    std::size_t end = i + 1;
    if (sql[i] == '$') {
      for (; end < sql.size() && sql[end] >= '0' && sql[end] <= '9'; ++end) number = number * 10 + static_cast<std::size_t>(sql[end] - '0');
    }
    if (number == 0) {
      out += sql[i];
      continue;
    }
    const auto& value = params.values().at(number - 1);
    out += value ? transaction.quote(*value) : "NULL";
    i = end - 1;
  }
  return out;
}

}  // namespace

Result run_within(pqxx::transaction_base& transaction, std::string_view schema, const std::string& sql, const Params& params) {
  try {
    return Result(std::make_shared<const pqxx::result>(transaction.exec(written_out(transaction, sql, params))));
  } catch (const pqxx::usage_error& e) {
    throw StateError(fmt::format("the transaction is over, or was aborted by an earlier error: {}", e.what()));
  } catch (const std::exception&) {
    rethrow_translated(schema);
  }
}

struct Transaction::Impl {
  explicit Impl(Connection& connection) : schema(connection.schema()), work(connection.driver()) {}
  std::string schema;
  pqxx::work work;
};

Transaction::Transaction(Connection& connection) try : impl_(std::make_unique<Impl>(connection)) {
} catch (const std::exception&) {
  rethrow_translated();
}

// libpqxx rolls back what was not committed.
Transaction::~Transaction() = default;

pqxx::transaction_base& Transaction::driver() noexcept { return impl_->work; }

Result Transaction::run(const std::string& sql, const Params& params) { return run_within(impl_->work, impl_->schema, sql, params); }

void Transaction::commit() {
  try {
    impl_->work.commit();
  } catch (const std::exception&) {
    rethrow_translated(impl_->schema);
  }
}

}  // namespace millrace::postgres
