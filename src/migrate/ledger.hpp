// The table `migrations`: what was applied to a schema, as the schema itself remembers it.
#pragma once

#include <millrace/migrate.hpp>

#include <optional>
#include <string>
#include <vector>

#include "postgres/connection.hpp"

namespace millrace::migrate {

struct LedgerRow {
  int version = 0;
  std::string name{};
  int min_compatible = 1;
  std::optional<std::string> checksum{};  ///< None: applied by psql, not yet adopted.
  Time applied_at{};
};

/// The rows in order of version; none if the schema or its table does not exist. Throws SchemaError if the schema
/// holds a table of that name which is not Millrace's.
[[nodiscard]] std::optional<std::vector<LedgerRow>> read_ledger(postgres::Connection& connection, const std::string& schema);

/// The SHA-256 of each text, in hexadecimal. The server computes it, as it does for everybody who checks by hand.
[[nodiscard]] std::vector<std::string> checksums(postgres::Connection& connection, const std::vector<Migration>& migrations);

/// Fills in the checksum of an applied migration. Returns false if the table has no row of that version and name.
[[nodiscard]] bool write_checksum(postgres::Connection& connection, const std::string& schema, const Migration& migration);

/// "0003 enqueue".
[[nodiscard]] std::string title(const Migration& migration);

}  // namespace millrace::migrate
