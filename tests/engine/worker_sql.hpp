// How the tests of the protocol play a worker: its calls, by hand.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

#include "support/schema.hpp"

namespace millrace::test {

inline constexpr const char* first = "00000000-0000-4000-8000-00000000000a";
inline constexpr const char* second = "00000000-0000-4000-8000-00000000000b";

inline void enroll(Schema& schema, const char* worker, const char* ttl = "30 seconds") {
  schema.connection().run(fmt::format("SELECT register_worker('{}', 'w', 'h', 1, '0', '{{default}}', '{}')", worker, ttl));
}

inline std::string claim_sql(const char* worker, int batch = 10, bool careful = false, bool suspect = false) {
  return fmt::format(
      "SELECT id, hint, kind, args FROM claim('{}', 'default', {}, array_fill('-infinity'::timestamptz, '{{5}}'), array_fill(0, '{{5}}'), "
      "{}, {})",
      worker, batch, careful, suspect);
}

// The lease of a claim's answer, from its footer.
inline std::int64_t lease_of(const postgres::Result& rows) { return rows.integer(rows.size() - 1, 0); }
inline int tasks_in(const postgres::Result& rows) { return rows.size() - 1; }

inline std::string complete_sql(const char* worker, const std::string& ids, const std::string& leases, bool careful = false) {
  return fmt::format(
      "SELECT id, verdict FROM complete('{}', '{{{}}}', array_fill('(0,0)'::tid, ARRAY[cardinality('{{{}}}'::int[])]), '{{{}}}', careful "
      "=> {})",
      worker, ids, ids, leases, careful);
}

inline void enqueue(Schema& schema, int tasks) {
  schema.connection().run(fmt::format("SELECT enqueue_many('k', array_fill('{{}}'::jsonb, ARRAY[{}]))", tasks));
}

// The queue's clock from now on: so much ahead of the server's.
inline void set_clock(Schema& schema, const char* offset) {
  schema.connection().run(fmt::format(
      "CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT pg_catalog.now() + interval ''{}'''", offset));
}

inline std::string status(Schema& schema, int id) { return schema.value(fmt::format("SELECT status FROM tasks WHERE id = {}", id)); }

inline void consistent(Schema& schema) { CHECK(schema.number("SELECT count(*) FROM doctor()") == 0); }

}  // namespace millrace::test
