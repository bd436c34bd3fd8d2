// Whether this binary can serve a schema.
#pragma once

#include <string>

#include "postgres/connection.hpp"

namespace millrace::engine {

/// Throws SchemaError, in one line that names the command that mends it, if `schema` holds no Millrace, lacks
/// migrations that this binary knows, or is so new that this binary cannot serve it. A newer schema whose migrations
/// all say that they are compatible with this binary is fine.
void check_schema(postgres::Connection& connection, const std::string& schema);

}  // namespace millrace::engine
