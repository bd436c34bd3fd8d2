#include "engine/kinds.hpp"

#include "base/text.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>

namespace millrace::engine {

using postgres::Params;

std::vector<KindRecord> list_kinds(postgres::Connection& connection, const std::string& schema, const std::optional<std::string>& kind) {
  if (kind) base::check_name("kind", *kind, limits::kind_bytes_max);
  const auto rows = connection.run(
      fmt::format(
          "SELECT k.kind, k.alias_of, k.queue, k.priority, k.max_attempts, k.backoff, (extract(epoch FROM k.timeout) * 1000)::bigint,"
          " k.schema, k.registered_at FROM {}.kinds k WHERE $1::text IS NULL OR k.kind = $1 ORDER BY k.kind",
          base::quote_identifier(schema)),
      Params().maybe(kind));
  std::vector<KindRecord> all;
  all.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    KindRecord one;
    one.kind = rows.text(row, 0);
    one.alias_of = rows.maybe_text(row, 1);
    one.queue = rows.maybe_text(row, 2);
    if (!rows.is_null(row, 3)) one.priority = Priority(static_cast<int>(rows.integer(row, 3)));
    if (!rows.is_null(row, 4)) one.max_attempts = static_cast<int>(rows.integer(row, 4));
    one.backoff = rows.maybe_text(row, 5);
    if (!rows.is_null(row, 6)) one.timeout = Milliseconds(rows.integer(row, 6));
    one.schema = rows.maybe_text(row, 7);
    one.registered_at = rows.time(row, 8).value_or(Time{});
    all.push_back(std::move(one));
  }
  return all;
}

void forget_kind(postgres::Connection& connection, const std::string& schema, const std::string& kind) {
  base::check_name("kind", kind, limits::kind_bytes_max);
  connection.run(fmt::format("SELECT {}.forget_kind($1)", base::quote_identifier(schema)), Params().text(kind));
}

}  // namespace millrace::engine
