#include "ceiling.hpp"

#include "arena.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace millrace::bench {
namespace {

constexpr const char* worker = "00000000-0000-4000-8000-000000000001";

std::string complete_by_hand(const std::string& schema) {
  return fmt::format(
      "UPDATE {}.tasks SET status = 'completed', finished_at = now() WHERE ctid = ANY ($1::tid[]) AND status = 'running' AND worker = '{}'", schema, worker);
}

void prepare(PGconn* link, const char* name, const std::string& sql) {
  const Rows rows(PQprepare(link, name, sql.c_str(), 0, nullptr), &PQclear);
  if (PQresultStatus(rows.get()) != PGRES_COMMAND_OK) throw Error(PQerrorMessage(link));
}

Rows run(PGconn* link, const char* name, int n, const char* const* params, ExecStatusType want) {
  Rows rows(PQexecPrepared(link, name, n, params, nullptr, nullptr, 0), &PQclear);
  if (PQresultStatus(rows.get()) != want) throw Error(PQerrorMessage(link));
  return rows;
}

}  // namespace

std::string claim_by_hand(const std::string& schema) {
  return fmt::format(R"(
WITH d AS (DELETE FROM {0}.tickets WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM {0}.tickets
             WHERE queue = 'default' AND bucket = 2 AND (run_at, id) >= ($1::timestamptz, $2::bigint) AND run_at <= now()
             ORDER BY run_at, id LIMIT $3::int FOR UPDATE SKIP LOCKED)) RETURNING id, tid),
     l AS (INSERT INTO {0}.leases (worker, task_ids) SELECT '{1}', array_agg(id) FROM d HAVING count(*) > 0)
UPDATE {0}.tasks t SET status = 'running', attempt = attempt + 1, started_at = now(), worker = '{1}'
WHERE t.ctid = ANY (ARRAY(SELECT tid FROM d)) AND t.status IN ('pending','scheduled','retrying')
RETURNING t.ctid, t.id, t.kind, t.args, t.attempt, t.run_at)",
                     schema, worker);
}

double drain_by_hand(const ConnectionString& database, const std::string& schema, int batch) {
  std::mutex m;
  std::condition_variable cv;
  std::deque<std::string> done;
  bool closed = false;
  long tasks = 0;
  const std::string limit = std::to_string(batch);
  const auto begin = std::chrono::steady_clock::now();

  std::thread completer([&] {
    const Link c = dial(database);
    prepare(c.get(), "complete", complete_by_hand(schema));
    for (;;) {
      std::string tids;
      {
        std::unique_lock lock(m);
        cv.wait(lock, [&] { return closed || !done.empty(); });
        if (done.empty()) break;
        tids = std::move(done.front());
        done.pop_front();
        cv.notify_all();
      }
      const char* p[] = {tids.c_str()};
      run(c.get(), "complete", 1, p, PGRES_COMMAND_OK);
    }
  });

  const Link c = dial(database);
  prepare(c.get(), "claim", claim_by_hand(schema));
  std::string at = "-infinity";
  std::string id = "0";
  for (;;) {
    const char* p[] = {at.c_str(), id.c_str(), limit.c_str()};
    const Rows r = run(c.get(), "claim", 3, p, PGRES_TUPLES_OK);
    const int n = PQntuples(r.get());
    if (n == 0) break;
    std::string tids = "{";
    long newest = 0;
    for (int i = 0; i < n; ++i) {
      if (!nlohmann::json::parse(PQgetvalue(r.get(), i, 3)).is_object()) throw Error("args are no object");
      if (const long v = std::atol(PQgetvalue(r.get(), i, 1)); v > newest) {
        newest = v;
        at = PQgetvalue(r.get(), i, 5);
      }
      if (i != 0) tids += ',';
      tids += '"';
      tids += PQgetvalue(r.get(), i, 0);
      tids += '"';
    }
    id = std::to_string(newest);
    tids += '}';
    tasks += n;
    std::unique_lock lock(m);
    cv.wait(lock, [&] { return done.size() < 8; });
    done.push_back(std::move(tids));
    cv.notify_all();
  }
  {
    const std::lock_guard lock(m);
    closed = true;
  }
  cv.notify_all();
  completer.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(tasks) / took.count();
}

}  // namespace millrace::bench
