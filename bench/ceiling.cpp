#include "ceiling.hpp"

#include <millrace/error.hpp>

#include <nlohmann/json.hpp>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <future>
#include <mutex>

namespace millrace::bench {
namespace {

constexpr const char* worker = "00000000-0000-0000-0000-000000000001";

// Batches on their way from the claimer to the completer.
struct Handover {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> done;
  bool closed = false;

  void close() {
    const std::lock_guard lock(mutex);
    closed = true;
    changed.notify_all();
  }
};

void complete_all(const Scratch& scratch, Handover& handover) {
  Link link(scratch.conninfo());
  link.prepare("complete", scratch.sql(std::string("UPDATE @.tasks SET status = 'completed', finished_at = now()"
                                                   " WHERE ctid = ANY ($1::tid[]) AND status = 'running' AND worker = '") +
                                       worker + "'"));
  for (;;) {
    std::string tids;
    {
      std::unique_lock lock(handover.mutex);
      handover.changed.wait(lock, [&] { return handover.closed || !handover.done.empty(); });
      if (handover.done.empty()) return;
      tids = std::move(handover.done.front());
      handover.done.pop_front();
      handover.changed.notify_all();
    }
    link.execute("complete", {tids.c_str()});
  }
}

}  // namespace

std::string ceiling_claim(const Scratch& scratch, const std::string& queue) {
  return scratch.sql(
      "WITH d AS (DELETE FROM @.tickets WHERE ctid = ANY (ARRAY("
      "             SELECT ctid FROM @.tickets"
      "             WHERE queue = '" +
      queue +
      "' AND bucket = 2 AND (run_at, id) >= ($1::timestamptz, $2::bigint) AND run_at <= now()"
      "             ORDER BY run_at, id LIMIT $3::int FOR UPDATE SKIP LOCKED)) RETURNING id, tid),"
      "     l AS (INSERT INTO @.leases (worker, task_ids) SELECT '" +
      std::string(worker) +
      "', array_agg(id) FROM d HAVING count(*) > 0)"
      " UPDATE @.tasks t SET status = 'running', attempt = attempt + 1, started_at = now(), worker = '" +
      std::string(worker) +
      "'"
      " WHERE t.ctid = ANY (ARRAY(SELECT tid FROM d)) AND t.status IN ('pending', 'scheduled', 'retrying')"
      " RETURNING t.ctid, t.id, t.kind, t.args, t.attempt, t.run_at");
}

double ceiling_drain(const Scratch& scratch, int batch, int tasks) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string limit = std::to_string(batch);
  Handover handover;
  auto completer = std::async(std::launch::async, [&] {
    try {
      complete_all(scratch, handover);
    } catch (...) {
      handover.close();
      throw;
    }
  });
  int claimed = 0;
  try {
    Link link(scratch.conninfo());
    link.prepare("claim", ceiling_claim(scratch, "default"));
    std::string at = "-infinity", id = "0";
    for (;;) {
      const Rows rows = link.execute("claim", {at.c_str(), id.c_str(), limit.c_str()});
      if (rows.size() == 0) break;
      std::string tids = "{";
      long newest = 0;
      for (int i = 0; i < rows.size(); ++i) {
        if (!nlohmann::json::parse(rows.text(i, 3)).is_object()) throw StateError("args that are no object");
        if (const long value = std::atol(rows.text(i, 1)); value > newest) {
          newest = value;
          at = rows.text(i, 5);
        }
        if (i > 0) tids += ',';
        tids += '"';
        tids += rows.text(i, 0);
        tids += '"';
      }
      id = std::to_string(newest);
      tids += '}';
      claimed += rows.size();
      std::unique_lock lock(handover.mutex);
      handover.changed.wait(lock, [&] { return handover.closed || handover.done.size() < 8; });
      if (handover.closed) break;
      handover.done.push_back(std::move(tids));
      handover.changed.notify_all();
    }
  } catch (...) {
    handover.close();
    throw;
  }
  handover.close();
  completer.get();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (claimed != tasks) throw StateError("the ceiling did not drain all tasks");
  return took.count();
}

}  // namespace millrace::bench
