#include "engine/tail.hpp"

#include "base/text.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <unordered_set>
#include <utility>

namespace millrace::engine {
namespace {

using namespace std::chrono_literals;
using postgres::ArrayText;
using postgres::Params;

// So many ids each look takes from every source, and so many tasks it remembers.
constexpr int page = 1000;
constexpr std::size_t known_max = 5000;
constexpr int pages_max = 5;
constexpr std::size_t gaps_max = 32;
constexpr auto gap_patience = 60s;
// What is seen for the first time is news if it happened within this time; what was told is remembered for longer.
constexpr auto news = 10s;
constexpr auto generation = 15s;

bool is_over(Status status) { return status == Status::completed || status == Status::failed || status == Status::cancelled; }

std::int64_t highest_id(postgres::Connection& connection, const std::string& schema) {
  return connection.run(fmt::format("SELECT max(id) FROM {}.tasks", schema)).integer(0, 0);
}

}  // namespace

Tail::Tail(TailOptions options, const std::string& schema) : options_(std::move(options)), schema_(base::quote_identifier(schema)) {
  if (options_.queue) base::check_name("queue", *options_.queue, limits::queue_bytes_max);
  if (options_.kind) base::check_name("kind", *options_.kind, limits::kind_bytes_max);
  if (options_.correlation) base::check_name("correlation", *options_.correlation, limits::correlation_bytes_max);
  if (options_.interval < 50ms || options_.interval > 1min)
    throw InvalidArgument("interval", fmt::format("is {} ms; allowed is 50 to 60000 ms", options_.interval.count()));
  if (options_.since && (*options_.since < 1ms || *options_.since > std::chrono::days(365)))
    throw InvalidArgument("since", fmt::format("is {} ms; allowed is 1 ms to 365 days", options_.since->count()));
}

std::vector<Transition> Tail::look(postgres::Connection& connection) {
  // One snapshot for all that it reads, and plans that do not depend on what the tables held when they were analysed. All of
  // it ends with the transaction, so it works behind a transaction pooler and on a standby too.
  postgres::Connection::Scope scope(
      connection,
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;"
      " SET LOCAL enable_sort = off; SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan");
  begin(connection);
  for (int pages = 1;; ++pages) {
    ++looks_;
    Found found = options_.correlation ? find_correlated(connection) : find(connection);
    read(connection, found);
    // Only now: had the connection broken before, the next look would have to find them again.
    if (!options_.correlation) fill_gaps(found.fresh);
    if (!full_) break;
    if (pages == pages_max) {
      skip_ahead(connection);
      break;
    }
  }
  begun_ = true;
  scope.commit();
  forget();
  skipped_ = std::exchange(skipping_, 0);
  std::stable_sort(noted_.begin(), noted_.end(),
                   [](const Transition& a, const Transition& b) { return std::tie(a.at, a.id.value) < std::tie(b.at, b.id.value); });
  return std::exchange(noted_, {});
}

void Tail::begin(postgres::Connection& connection) {
  if (begun_) return;
  highest_ = highest_id(connection, schema_);
  if (options_.since) highest_ = std::max<std::int64_t>(highest_ - page, 0);
}

Tail::Found Tail::find(postgres::Connection& connection) {
  ArrayText lows, highs;
  for (const Gap& gap : gaps_) {
    lows.integer(gap.low);
    highs.integer(gap.high);
  }
  lows.integer(highest_);
  highs.integer(std::numeric_limits<std::int64_t>::max());
  const Milliseconds dead = begun_ ? Milliseconds(news) : std::max(options_.since.value_or(news), Milliseconds(news));
  // What is claimed; the next in line of each queue, which will be claimed; new ids; dead letters. Each is a bounded range of an index.
  const auto rows = connection.run(
      fmt::format("WITH RECURSIVE lanes (queue) AS ("
                  "  SELECT coalesce($4, (SELECT k.queue FROM {0}.tickets k ORDER BY k.queue LIMIT 1))"
                  "  UNION ALL SELECT (SELECT k.queue FROM {0}.tickets k WHERE k.queue > l.queue ORDER BY k.queue LIMIT 1)"
                  "  FROM lanes l WHERE l.queue IS NOT NULL AND $4 IS NULL),"
                  " some_lanes AS (SELECT l.queue FROM lanes l WHERE l.queue IS NOT NULL LIMIT 100) "
                  "(SELECT unnest(l.task_ids) AS id, false AS fresh FROM {0}.leases l ORDER BY l.id DESC LIMIT {1}) "
                  "UNION ALL (SELECT h.id, false FROM some_lanes s CROSS JOIN LATERAL ("
                  "  SELECT k.id FROM unnest('{{-1,4,3,2,1,0}}'::smallint[]) AS b (bucket) CROSS JOIN LATERAL ("
                  "    SELECT t.id FROM {0}.tickets t WHERE t.queue = s.queue AND t.bucket = b.bucket"
                  "    AND t.run_at <= {0}.clock() + interval '1 second' ORDER BY t.run_at, t.id LIMIT {1}) k"
                  "  LIMIT (SELECT greatest({1} / greatest(count(*), 1), 10) FROM some_lanes)) h) "
                  "UNION ALL (SELECT n.id, true FROM unnest($1::bigint[], $2::bigint[]) AS r (low, high) CROSS JOIN LATERAL ("
                  "  SELECT t.id FROM {0}.tasks t WHERE t.id > r.low AND t.id < r.high ORDER BY t.id LIMIT {1}) n) "
                  "UNION ALL (SELECT t.id, false FROM {0}.tasks t WHERE t.dead_at > {0}.clock() - $3::interval"
                  "  ORDER BY t.dead_at DESC LIMIT {1})",
                  schema_, page),
      Params()
          .text(std::move(lows).take())
          .text(std::move(highs).take())
          .text(fmt::format("{} milliseconds", dead.count()))
          .maybe(options_.queue));
  Found found;
  for (int row = 0; row < rows.size(); ++row) (rows.boolean(row, 1) ? found.fresh : found.others).push_back(rows.integer(row, 0));
  return found;
}

Tail::Found Tail::find_correlated(postgres::Connection& connection) {
  const auto rows =
      connection.run(fmt::format("SELECT t.id FROM {}.tasks t WHERE t.correlation = $1 ORDER BY t.id DESC LIMIT {}", schema_, page),
                     Params().text(*options_.correlation));
  Found found;
  for (int row = 0; row < rows.size(); ++row) {
    const std::int64_t id = rows.integer(row, 0);
    const bool fresh = (begun_ || options_.since) && known_.count(id) == 0;
    (fresh ? found.fresh : found.others).push_back(id);
  }
  return found;
}

// Ids are given out in order and become visible in any: between those that came there may be some that are still to come.
void Tail::fill_gaps(std::vector<std::int64_t>& fresh) {
  std::sort(fresh.begin(), fresh.end());
  std::deque<Gap> before = std::exchange(gaps_, {});
  const auto now = Clock::now();
  auto next = fresh.cbegin();
  for (const Gap& gap : before) {
    std::int64_t low = gap.low;
    for (; next != fresh.cend() && *next < gap.high; ++next) {
      if (*next > low + 1 && now < gap.until) gaps_.push_back({low, *next, gap.until});
      low = *next;
    }
    if (gap.high > low + 1 && now < gap.until) gaps_.push_back({low, gap.high, gap.until});
  }
  full_ = fresh.cend() - next == page;
  for (; next != fresh.cend(); ++next) {
    // What was not there before the first look is no news.
    if (*next > highest_ + 1 && begun_) gaps_.push_back({highest_, *next, now + gap_patience});
    highest_ = *next;
  }
  while (gaps_.size() > gaps_max) gaps_.pop_front();
}

void Tail::skip_ahead(postgres::Connection& connection) {
  const std::int64_t newest = highest_id(connection, schema_);
  if (newest <= highest_) return;
  skipping_ += newest - highest_;
  highest_ = newest;
}

void Tail::read(postgres::Connection& connection, const Found& found) {
  ArrayText ids, marks;
  for (const auto& [id, known] : known_) {
    ids.integer(id);
    marks.text(known.mark);
  }
  std::unordered_set<std::int64_t> fresh(found.fresh.begin(), found.fresh.end());
  std::unordered_set<std::int64_t> asked;
  for (const auto* some : {&found.fresh, &found.others}) {
    for (const std::int64_t id : *some) {
      if (known_.count(id) != 0 || !asked.insert(id).second) continue;
      ids.integer(id);
      marks.null();
    }
  }
  const auto rows = connection.run(
      fmt::format("WITH known AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[]) AS k (id, mark)) "
                  "SELECT t.id, m.mark, t.kind, t.queue, t.status, t.attempt, t.max_attempts, t.created_at, t.started_at,"
                  " t.finished_at, t.run_at, (t.errors->-1->>'at')::timestamptz, left(t.errors->-1->>'message', 1000), t.reason,"
                  " t.correlation, {0}.clock() "
                  "FROM {0}.tasks t CROSS JOIN LATERAL (SELECT t.status || '/' || t.attempt || '/' || coalesce(t.lease, 0)) AS m (mark) "
                  "LEFT JOIN known k ON k.id = t.id "
                  "WHERE t.id = ANY ($1::bigint[]) AND m.mark IS DISTINCT FROM k.mark"
                  " AND ($3::text IS NULL OR t.queue = $3) AND ($4::text IS NULL OR t.kind = $4)",
                  schema_),
      Params().text(std::move(ids).take()).text(std::move(marks).take()).maybe(options_.queue).maybe(options_.kind));
  for (int row = 0; row < rows.size(); ++row) note(rows, row, fresh.count(rows.integer(row, 0)) != 0);
}

void Tail::note(const postgres::Result& rows, int row, bool fresh) {
  const std::int64_t id = rows.integer(row, 0);
  const std::string mark(rows.text(row, 1));
  const Status status = status_from(rows.text(row, 4));
  const std::optional<Time> started = rows.time(row, 8);
  const std::optional<Time> finished = rows.time(row, 9);
  const Time now = rows.time(row, 15).value_or(Time{});

  const auto seen = known_.find(id);
  const bool was_known = seen != known_.end();
  const Known before = was_known ? seen->second : Known{};
  known_[id] = {.mark = mark, .status = status, .started_at = started, .changed = looks_};
  const auto remembers = [&](const auto& told) {
    const auto one = told.find(id);
    return one != told.end() && one->second == mark;
  };
  if (!was_known && (remembers(told_) || remembers(told_before_))) return;

  Transition base{.id = {id},
                  .kind = std::string(rows.text(row, 2)),
                  .queue = std::string(rows.text(row, 3)),
                  .attempt = static_cast<int>(rows.integer(row, 5)),
                  .max_attempts = static_cast<int>(rows.integer(row, 6)),
                  .correlation = rows.maybe_text(row, 14)};
  // The last error is that of an earlier attempt unless it was written after the last start.
  const std::optional<Time> last_error = rows.time(row, 11);
  const bool ever_failed = last_error.has_value();
  const bool has_failed = started && last_error && *last_error >= *started;
  const Time failed_at = has_failed ? *last_error : now;
  const bool ran = base.attempt > 0 && started && (status == Status::running || is_over(status) || has_failed);
  std::vector<Transition> steps;

  const bool waits = status == Status::pending || status == Status::scheduled || status == Status::retrying;
  // A first sight of what was there before is no transition, but for those that its row dates.
  const Time created = rows.time(row, 7).value_or(Time{});
  const Time run_at = rows.time(row, 10).value_or(Time{});
  if (fresh && !was_known) {
    Transition step = base;
    // Once it has failed, was given back or was revived, run_at is not the first one any more; until then it tells whether it was to wait.
    const bool first_run_at = !ever_failed && !(waits && started);
    const bool later = run_at > created && first_run_at && (status == Status::scheduled || base.attempt <= 1) && status != Status::retrying;
    step.status = later ? Status::scheduled : Status::pending;
    step.at = created;
    step.attempt = 0;
    if (later) step.run_at = run_at;
    steps.push_back(std::move(step));
  }
  if (ran && (!was_known || before.started_at != started)) {
    Transition step = base;
    step.status = Status::running;
    step.at = *started;
    steps.push_back(std::move(step));
  }
  const bool told_as_new = fresh && !was_known && waits && !has_failed;
  const bool told_as_running = status == Status::running && !steps.empty() && steps.back().status == Status::running;
  if (!told_as_new && !told_as_running && (was_known || !waits || has_failed)) {
    Transition step = base;
    step.status = status;
    step.at = is_over(status) ? finished.value_or(now) : failed_at;
    const bool end_of_run = before.status == Status::running || (!steps.empty() && steps.back().status == Status::running);
    if (ran && (status == Status::cancelled ? end_of_run : status != Status::running)) {
      if (has_failed || is_over(status))
        step.duration = std::max(std::chrono::duration_cast<Milliseconds>(step.at - *started), Milliseconds(0));
    }
    if (has_failed && (status == Status::cancelled ? end_of_run : status != Status::completed)) step.error = rows.text(row, 12);
    if (status == Status::cancelled) step.reason = rows.maybe_text(row, 13);
    if (status == Status::scheduled || status == Status::retrying) step.run_at = run_at;
    steps.push_back(std::move(step));
  }

  // Not news: what was there before the first look, or what the leases still name long after it ended.
  const Time since = begun_ ? now - news : (options_.since ? now - *options_.since : Time::max());
  const bool always_news = fresh && begun_ && !options_.correlation;  // its transaction may have been a long one
  bool told = false;
  for (Transition& step : steps) {
    if (!was_known && !always_news && step.at < since) continue;
    noted_.push_back(std::move(step));
    told = true;
  }
  if (told) told_[id] = mark;
}

void Tail::forget() {
  const auto now = Clock::now();
  if (now >= next_generation_) {
    told_before_ = std::exchange(told_, {});
    next_generation_ = now + generation;
  }
  if (known_.size() <= known_max) return;
  // The ended go first, then those that have waited unchanged for longest; what runs goes last.
  struct Candidate {
    int rank;
    std::uint64_t changed;
    std::int64_t id;
  };
  std::vector<Candidate> all;
  all.reserve(known_.size());
  for (const auto& [id, known] : known_) {
    const int rank = is_over(known.status) ? 0 : (known.status == Status::running ? 2 : 1);
    all.push_back({rank, known.changed, id});
  }
  const auto surplus = static_cast<std::ptrdiff_t>(known_.size() - known_max);
  std::nth_element(all.begin(), all.begin() + surplus, all.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.rank, a.changed, a.id) < std::tie(b.rank, b.changed, b.id);
  });
  for (auto one = all.begin(); one != all.begin() + surplus; ++one) known_.erase(one->id);
}

}  // namespace millrace::engine
