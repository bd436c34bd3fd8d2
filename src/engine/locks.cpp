#include "engine/locks.hpp"

#include "base/text.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

namespace millrace::engine {
namespace {

using namespace std::chrono_literals;
using postgres::Params;

constexpr Milliseconds pace_first = 10ms;
constexpr Milliseconds pace_last = 250ms;
constexpr const char* columns = "name, owner, token, acquired_at, expires_at";

void check_ttl(Milliseconds ttl) {
  if (ttl < limits::lock_ttl_min || ttl > limits::lock_ttl_max)
    throw InvalidArgument("ttl", fmt::format("is {} ms; allowed is 1 second to 1 day", ttl.count()));
}

std::string interval(Milliseconds duration) { return fmt::format("{} milliseconds", duration.count()); }

std::string call(std::string_view schema, const char* what) {
  base::check_schema_name(schema);
  return base::quote_identifier(schema) + '.' + what;
}

LockRecord record_of(const postgres::Result& rows, int row) {
  return {.name = std::string(rows.text(row, 0)),
          .owner = std::string(rows.text(row, 1)),
          .token = {rows.integer(row, 2)},
          .acquired_at = rows.time(row, 3).value_or(Time{}),
          .expires_at = rows.time(row, 4).value_or(Time{})};
}

}  // namespace

LockAttempt acquire_lock(const Run& run, std::string_view schema, std::string_view name, std::string_view owner, Milliseconds ttl) {
  base::check_name("name", name, limits::lock_bytes_max);
  base::check_name("owner", owner, limits::lock_bytes_max);
  check_ttl(ttl);
  const auto rows = run("SELECT acquired, token, owner, expires_at FROM " + call(schema, "acquire_lock($1, $2, $3::interval)"),
                        Params().text(std::string(name)).text(std::string(owner)).text(interval(ttl)));
  LockAttempt attempt;
  if (rows.boolean(0, 0)) attempt.token = LockToken{rows.integer(0, 1)};
  attempt.owner = rows.maybe_text(0, 2);
  attempt.expires_at = rows.time(0, 3);
  return attempt;
}

Time extend_lock(const Run& run, std::string_view schema, std::string_view name, LockToken token, Milliseconds ttl) {
  base::check_name("name", name, limits::lock_bytes_max);
  check_ttl(ttl);
  const auto rows = run("SELECT " + call(schema, "extend_lock($1, $2::bigint, $3::interval)"),
                        Params().text(std::string(name)).integer(token.value).text(interval(ttl)));
  return rows.time(0, 0).value_or(Time{});
}

bool release_lock(const Run& run, std::string_view schema, std::string_view name, LockToken token) {
  base::check_name("name", name, limits::lock_bytes_max);
  return run("SELECT " + call(schema, "release_lock($1, $2::bigint)"), Params().text(std::string(name)).integer(token.value)).boolean(0, 0);
}

std::optional<LockRecord> lock_holder(const Run& run, std::string_view schema, std::string_view name) {
  base::check_name("name", name, limits::lock_bytes_max);
  const auto rows = run(fmt::format("SELECT {} FROM {}", columns, call(schema, "lock_holder($1)")), Params().text(std::string(name)));
  if (rows.size() == 0) return {};
  return record_of(rows, 0);
}

void assert_lock(const Run& run, std::string_view schema, std::string_view name, LockToken token) {
  base::check_name("name", name, limits::lock_bytes_max);
  run("SELECT " + call(schema, "assert_lock($1, $2::bigint)"), Params().text(std::string(name)).integer(token.value));
}

std::vector<LockRecord> list_locks(const Run& run, std::string_view schema) {
  const auto rows = run(fmt::format("SELECT {} FROM {} ORDER BY name", columns, call(schema, "held_locks")), {});
  std::vector<LockRecord> all;
  all.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) all.push_back(record_of(rows, row));
  return all;
}

std::string fresh_owner() {
  char host[65] = {};
  if (::gethostname(host, sizeof host - 1) != 0) std::strcpy(host, "unknown");
  std::random_device random;
  return fmt::format("{}:{}:{:08x}{:08x}", base::storable(host, 64), ::getpid(), random(), random());
}

LockAttempt keep_trying(const std::function<LockAttempt()>& attempt, Milliseconds wait) {
  using Clock = std::chrono::steady_clock;
  if (wait < 0ms || wait > limits::lock_wait_max)
    throw InvalidArgument("wait", fmt::format("is {} ms; allowed is 0 to 365 days", wait.count()));
  const auto until = Clock::now() + wait;
  for (Milliseconds pace = pace_first;; pace = std::min(pace * 2, pace_last)) {
    LockAttempt answer = attempt();
    const auto left = until - Clock::now();
    if (answer.acquired() || left <= Clock::duration::zero()) return answer;
    std::this_thread::sleep_for(std::min<Clock::duration>(pace, left));
  }
}

}  // namespace millrace::engine

namespace millrace {

LockAttempt acquire_lock(pqxx::transaction_base& tx, std::string_view name, std::string_view owner, Milliseconds ttl,
                         std::string_view schema) {
  return engine::acquire_lock(engine::through(tx, std::string(schema)), schema, name, owner, ttl);
}
Time extend_lock(pqxx::transaction_base& tx, std::string_view name, LockToken token, Milliseconds ttl, std::string_view schema) {
  return engine::extend_lock(engine::through(tx, std::string(schema)), schema, name, token, ttl);
}
bool release_lock(pqxx::transaction_base& tx, std::string_view name, LockToken token, std::string_view schema) {
  return engine::release_lock(engine::through(tx, std::string(schema)), schema, name, token);
}
std::optional<LockRecord> lock_holder(pqxx::transaction_base& tx, std::string_view name, std::string_view schema) {
  return engine::lock_holder(engine::through(tx, std::string(schema)), schema, name);
}
void assert_lock(pqxx::transaction_base& tx, std::string_view name, LockToken token, std::string_view schema) {
  engine::assert_lock(engine::through(tx, std::string(schema)), schema, name, token);
}

}  // namespace millrace
