// What workers declared of the kinds that they handle.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <millrace/kind.hpp>

#include "postgres/connection.hpp"

namespace millrace::engine {

[[nodiscard]] std::vector<KindRecord> list_kinds(postgres::Connection& connection, const std::string& schema,
                                                 const std::optional<std::string>& kind);
void forget_kind(postgres::Connection& connection, const std::string& schema, const std::string& kind);

}  // namespace millrace::engine
