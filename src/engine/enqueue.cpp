#include "engine/enqueue.hpp"

#include "base/json_text.hpp"
#include "base/text.hpp"
#include "base/time_text.hpp"
#include "engine/keys.hpp"
#include "postgres/transaction.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>

#include <cmath>

namespace millrace::engine {
namespace {

constexpr std::size_t part_tasks_max = 10'000;
constexpr std::size_t part_bytes_max = 8'388'608;

std::string interval(Milliseconds duration) { return fmt::format("{} milliseconds", duration.count()); }

void check_range(const char* field, double value, double low, double high, const char* unit = "") {
  if (!(value >= low && value <= high)) throw InvalidArgument(field, fmt::format("is {}; allowed is {} to {}{}", value, low, high, unit));
}

void check_backoff(const Backoff& backoff) {
  constexpr double year_ms = 31'536'000'000.0;
  check_range("backoff.base", static_cast<double>(backoff.base.count()), 0, year_ms, " ms");
  check_range("backoff.cap", static_cast<double>(backoff.cap.count()), 0, year_ms, " ms");
  check_range("backoff.multiplier", backoff.multiplier, 1, 100);
  if (!(backoff.jitter == 0 || (backoff.jitter >= 1e-6 && backoff.jitter <= 0.5)))
    throw InvalidArgument("backoff.jitter", fmt::format("is {}; allowed are 0, and 0.000001 to 0.5", backoff.jitter));
}

}  // namespace

void check_options(std::string_view kind, const EnqueueOptions& options) {
  base::check_schema_name(options.schema);
  base::check_name("kind", kind, limits::kind_bytes_max);
  if (options.queue) base::check_name("queue", *options.queue, limits::queue_bytes_max);
  if (options.delay && options.run_at) throw InvalidArgument("delay", "cannot be given together with run_at");
  if (options.delay && (options.delay->count() < 0 || *options.delay > limits::delay_max)) {
    throw InvalidArgument("delay", fmt::format("is {} ms; allowed is 0 to 100 years", options.delay->count()));
  }
  if (options.run_at) {
    using namespace std::chrono;
    if (*options.run_at < Time{} || *options.run_at >= Time{sys_days{year{10000} / 1 / 1}}) {
      throw InvalidArgument("run_at", "is outside the years 1970 to 9999");
    }
  }
  if (options.max_attempts) check_range("max_attempts", *options.max_attempts, 1, limits::attempts_max);
  if (options.timeout && (options.timeout->count() < 1 || *options.timeout > limits::timeout_max)) {
    throw InvalidArgument("timeout", fmt::format("is {} ms; allowed is 1 ms to 365 days", options.timeout->count()));
  }
  if (options.backoff) check_backoff(*options.backoff);
  check_about(options);
  check_keys(options);
}

namespace {

std::string priority_text(Priority priority) { return std::to_string(priority.value()); }

// $2 to $10: everything but the kind, in the order of both SQL functions.
void bind_options(postgres::Params& params, const EnqueueOptions& options) {
  const auto text_of = [](const auto& value, auto format) { return value ? std::optional(format(*value)) : std::optional<std::string>(); };
  const auto number = [](int value) { return std::to_string(value); };
  params.maybe(options.queue)
      .maybe(text_of(options.priority, priority_text))
      .maybe(text_of(options.run_at, base::format_time))
      .maybe(text_of(options.delay, interval))
      .maybe(text_of(options.max_attempts, number))
      .maybe(text_of(options.backoff, backoff_json))
      .maybe(text_of(options.timeout, interval))
      .boolean(options.wake);
}

// Most enqueues name no more than a queue and a priority; every parameter more is parsed twice, here and there.
bool plain(const EnqueueOptions& options) {
  return !options.run_at && !options.delay && !options.max_attempts && !options.backoff && !options.timeout && options.wake;
}

std::vector<TaskId> ids_of(std::string_view array) {
  std::vector<TaskId> ids;
  std::int64_t value = 0;
  for (const char c : array) {
    if (c >= '0' && c <= '9') {
      value = value * 10 + (c - '0');
    } else if (c != '{') {
      if (array.size() > 2) ids.push_back({value});
      value = 0;
    }
  }
  return ids;
}

}  // namespace

std::string backoff_json(const Backoff& backoff) {
  static constexpr const char* names[] = {"exponential", "linear", "fixed"};
  return fmt::format(R"({{"type":"{}","base":{},"cap":{},"multiplier":{},"jitter":{}}})", names[static_cast<std::size_t>(backoff.kind)],
                     static_cast<double>(backoff.base.count()) / 1000, static_cast<double>(backoff.cap.count()) / 1000, backoff.multiplier,
                     backoff.jitter);
}

namespace {

// Everything that can be said, and the answer with whether this call made the task.
Enqueued enqueue_once(const Run& run, postgres::Params params, const EnqueueOptions& options) {
  bind_options(params, options);
  bind_about(params, options);
  bind_keys(params, options);
  const auto rows = run(fmt::format("SELECT id, status, created, replaced FROM {}.enqueue_once($1, $2::jsonb, queue => $3, priority => $4,"
                                    " run_at => $5::timestamptz, delay => $6::interval, max_attempts => $7, backoff => $8::jsonb,"
                                    " timeout => $9::interval, wake => $10, expires_at => $11::timestamptz, expires_in => $12::interval,"
                                    " correlation => $13, tenant => $14, tags => $15::text[], metadata => $16::jsonb, traceparent => $17,"
                                    " key => $18, key_for => $19::interval, unique_key => $20, unique_by => $21::text[],"
                                    " unique_for => $22::interval, debounce => $23::interval, debounce_max => $24::interval,"
                                    " throttle => $25::interval, replace => $26)",
                                    base::quote_identifier(options.schema)),
                        params);
  // The row may be gone while its idempotency key still holds: then it has ended long ago.
  return {.id = {rows.integer(0, 0)},
          .status = rows.is_null(0, 1) ? Status::completed : status_from(rows.text(0, 1)),
          .created = rows.boolean(0, 2),
          .replaced = rows.boolean(0, 3)};
}

}  // namespace

Enqueued enqueue(const Run& run, std::string_view kind, std::string_view args, const EnqueueOptions& options) {
  check_options(kind, options);
  base::check_json("args", args, true);
  postgres::Params params;
  params.text(std::string(kind)).text(std::string(args));
  if (says_about(options) || has_keys(options)) return enqueue_once(run, std::move(params), options);
  if (plain(options)) {
    params.maybe(options.queue);
    options.priority ? params.integer(options.priority->value()) : params.null();
    const auto rows = run(fmt::format("SELECT {}.enqueue($1, $2::jsonb, $3, $4)", base::quote_identifier(options.schema)), params);
    return {.id = {rows.integer(0, 0)}, .status = Status::pending, .created = true};
  }
  bind_options(params, options);
  // Whether it waits for its time is decided by the same clock, in the same transaction, as enqueue() does.
  const auto rows =
      run(fmt::format("SELECT {0}.enqueue($1, $2::jsonb, $3, $4, $5::timestamptz, $6::interval, $7, $8::jsonb, $9::interval, $10),"
                      " coalesce($5::timestamptz, {0}.clock() + $6::interval) > {0}.clock()",
                      base::quote_identifier(options.schema)),
          params);
  return {.id = {rows.integer(0, 0)}, .status = rows.boolean(0, 1) ? Status::scheduled : Status::pending, .created = true};
}

std::vector<TaskId> enqueue_many(const Run& run, std::string_view kind, std::span<const std::string> args, const EnqueueOptions& options) {
  check_options(kind, options);
  refuse_keys(options, "many tasks at once: enqueue them one by one");
  for (std::size_t i = 0; i < args.size(); ++i) {
    try {
      base::check_json("args", args[i], true);
    } catch (const InvalidArgument& e) {
      throw InvalidArgument("args", fmt::format("[{}] {}", i, std::string_view(e.what()).substr(5)));
    }
  }
  const bool about = says_about(options);
  const std::string sql = fmt::format(
      "SELECT {}.enqueue_many($1, $2::jsonb[], $3, $4, $5::timestamptz, $6::interval, $7, $8::jsonb, $9::interval, $10{})",
      base::quote_identifier(options.schema), about ? ", $11::timestamptz, $12::interval, $13, $14, $15::text[], $16::jsonb, $17" : "");
  std::vector<TaskId> ids;
  ids.reserve(args.size());
  for (std::size_t next = 0; next < args.size();) {
    postgres::ArrayText part;
    for (std::size_t taken = 0; next < args.size() && taken < part_tasks_max && part.bytes() < part_bytes_max; ++next, ++taken) {
      part.text(args[next]);
    }
    postgres::Params params;
    params.text(std::string(kind)).text(std::move(part).take());
    bind_options(params, options);
    if (about) bind_about(params, options);
    const auto more = ids_of(run(sql, params).text(0, 0));
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

Run through(pqxx::transaction_base& tx, const std::string& schema) {
  return [&tx, schema](const std::string& sql, const postgres::Params& params) { return postgres::run_within(tx, schema, sql, params); };
}

}  // namespace millrace::engine

namespace millrace {

Enqueued enqueue(pqxx::transaction_base& tx, std::string_view kind, std::string_view args, const EnqueueOptions& options) {
  return engine::enqueue(engine::through(tx, options.schema), kind, args, options);
}

std::vector<TaskId> enqueue_many(pqxx::transaction_base& tx, std::string_view kind, std::span<const std::string> args,
                                 const EnqueueOptions& options) {
  return engine::enqueue_many(engine::through(tx, options.schema), kind, args, options);
}

}  // namespace millrace
