#include "postgres/errors.hpp"

#include <millrace/error.hpp>

#include <fmt/format.h>
#include <pqxx/pqxx>

#include <new>

namespace millrace::postgres {

std::string primary_message(std::string_view server_message) {
  std::string_view line = server_message.substr(0, server_message.find('\n'));
  // "ERROR:  text", in whatever language the server speaks: one word, a colon, two spaces.
  if (const std::size_t colon = line.find(":  "); colon != std::string_view::npos && line.find(' ') > colon) line.remove_prefix(colon + 3);
  return std::string(line);
}

void throw_for(std::string_view server_message, std::string_view sqlstate, std::string_view schema) {
  const std::string message = primary_message(server_message);
  // What has no SQLSTATE is not the server's answer: there was none.
  if (sqlstate.empty() || sqlstate.starts_with("08") || sqlstate == "57P01" || sqlstate == "57P02" || sqlstate == "57P03" ||
      sqlstate == "57P05" || sqlstate == "53300") {
    throw ConnectionError(message);
  }
  if (schema.empty()) throw DatabaseError(message, std::string(sqlstate));
  if (sqlstate == "22023") {
    // refuse() writes "field problem".
    const std::size_t space = message.find(' ');
    if (space != std::string::npos) throw InvalidArgument(message.substr(0, space), message.substr(space + 1));
  }
  if (sqlstate == "MR001") throw LeaseLost(message);
  if (sqlstate == "MR002") throw NotFound(message);
  if (sqlstate == "MR003") throw StateError(message);
  if (sqlstate == "3F000" || sqlstate == "42P01" || sqlstate == "42883") {
    throw SchemaError(fmt::format("schema \"{}\" is not a Millrace schema of this version ({}); run: millrace --schema '{}' migrate up",
                                  schema, message, schema));
  }
  // Data exceptions and exceeded program limits: something in the input that only the server could see.
  if (sqlstate.starts_with("22") || sqlstate.starts_with("54")) throw InvalidArgument("input", "was refused by the database: " + message);
  throw DatabaseError(message, std::string(sqlstate));
}

void rethrow_translated(std::string_view schema) {
  try {
    throw;
  } catch (const Error&) {
    throw;
    // In libpqxx 6 these four are no sql_error and do not tell their SQLSTATE.
  } catch (const pqxx::statement_completion_unknown& e) {
    throw OutcomeUnknown(primary_message(e.what()));
  } catch (const pqxx::serialization_failure& e) {
    throw DatabaseError(primary_message(e.what()), "40001");
  } catch (const pqxx::deadlock_detected& e) {
    throw DatabaseError(primary_message(e.what()), "40P01");
  } catch (const pqxx::transaction_rollback& e) {
    throw DatabaseError(primary_message(e.what()), "40000");
  } catch (const pqxx::insufficient_privilege& e) {
    // This one is a sql_error and may forget it all the same.
    throw_for(e.what(), e.sqlstate().empty() ? "42501" : e.sqlstate(), schema);
  } catch (const pqxx::sql_error& e) {
    throw_for(e.what(), e.sqlstate(), schema);
  } catch (const pqxx::in_doubt_error& e) {
    throw OutcomeUnknown(primary_message(e.what()));
  } catch (const pqxx::broken_connection& e) {
    const std::string message = primary_message(e.what());
    throw ConnectionError(message.empty() ? "the connection to the database was lost" : message);
  } catch (const pqxx::failure& e) {
    // The driver could not speak to the server, such as "Could not obtain client encoding: not connected".
    throw ConnectionError(primary_message(e.what()));
  }
}

}  // namespace millrace::postgres
