// The one place where PostgreSQL's and libpqxx's errors become Millrace's.
#pragma once

#include <string>
#include <string_view>

namespace millrace::postgres {

/// To be called inside a catch block: rethrows the exception in flight as one of millrace/error.hpp.
/// `schema` is named in messages about missing objects; if it is empty, every SQL error is a DatabaseError.
[[noreturn]] void rethrow_translated(std::string_view schema = "millrace");

/// Throws the Millrace error for a server's message (as libpq prints it) and SQLSTATE.
[[noreturn]] void throw_for(std::string_view server_message, std::string_view sqlstate, std::string_view schema = "millrace");

/// The first line of a server's message, without its severity.
[[nodiscard]] std::string primary_message(std::string_view server_message);

}  // namespace millrace::postgres
