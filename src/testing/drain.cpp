#include <millrace/testing/drain.hpp>

#include "base/text.hpp"

#include <millrace/testing/enqueued.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

namespace millrace::testing {
namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

std::string list_of(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + base::quote_literal(text);
  return list;
}

class Draining {
 public:
  Draining(Database& database, const std::function<void(Worker&)>& configure, const DrainOptions& options)
      : database_(database),
        configure_(configure),
        options_(options),
        schema_(base::quote_identifier(database.schema())),
        end_(SteadyClock::now() + options.time_max) {}

  Drained run() {
    // The first round looks even if nothing seems due: a schedule may be declared by `configure`.
    do {
      round(queues());
    } while (anything_due(options_.queues));
    read_failures();
    read_unhandled();
    return std::move(drained_);
  }

 private:
  std::vector<std::string> queues() {
    if (!options_.queues.empty()) return options_.queues;
    std::vector<std::string> all;
    for (const auto& row : database_.rows(fmt::format("SELECT 'default' UNION SELECT queue FROM {0}.tickets WHERE run_at <= {0}.clock() "
                                                      "UNION SELECT queue FROM {0}.schedules ORDER BY 1",
                                                      schema_))) {
      all.push_back(row[0]);
    }
    return all;
  }

  static std::string within(const std::vector<std::string>& queues) { return fmt::format("queue IN ({})", list_of(queues)); }

  // One snapshot: a task is on its way from its ticket to a lease, and back, in one transaction.
  bool anything_due(const std::vector<std::string>& queues) {
    const std::string mine = queues.empty() ? "true" : within(queues);
    return database_.value(fmt::format("SELECT EXISTS (SELECT FROM {0}.tickets WHERE run_at <= {0}.clock() AND {1}"
                                       "   AND kind_hash = ANY (ARRAY(SELECT {0}.kind_hash(h) FROM unnest({2}::text[]) h)))"
                                       " OR EXISTS (SELECT FROM {0}.running_tasks WHERE {1})"
                                       " OR EXISTS (SELECT FROM {0}.schedules WHERE next_at <= {0}.clock() AND {1})",
                                       schema_, mine, base::quote_literal(handled_))) == "t";
  }

  void round(const std::vector<std::string>& queues) {
    WorkerOptions settings = database_.worker_options(options_.threads);
    settings.queues.clear();
    for (const std::string& queue : queues) settings.queues.push_back({queue, options_.threads});
    settings.name = "drain";
    settings.grace = 0ms;
    Worker worker(std::move(settings));
    configure_(worker);
    workers_.push_back(worker.id());
    worker.start();
    handled_ = database_.value(fmt::format("SELECT kinds FROM {}.workers WHERE id = {}", schema_, base::quote_literal(worker.id())));
    std::optional<std::string> limit;
    auto pace = 1ms;
    while (!(limit = reached(worker.counts())) && anything_due(queues)) {
      std::this_thread::sleep_for(pace);  // the pace of looking, not a wait for an event
      pace = std::min(pace * 2, 16ms);
    }
    const bool ended = worker.stop();
    add(worker.counts());
    if (!ended) limit = limit.value_or("the last run") + ", and a handler did not stop: its thread still runs";
    if (limit) give_up(*limit);
  }

  [[nodiscard]] std::optional<std::string> reached(const WorkerCounts& now) const {
    const std::int64_t runs = runs_ + now.completed + now.retried + now.failed + now.released + now.cancelled + now.lost;
    if (runs >= options_.tasks_max) return fmt::format("{} runs (tasks_max is {})", runs, options_.tasks_max);
    if (SteadyClock::now() >= end_) return fmt::format("{} ms (time_max)", options_.time_max.count());
    return {};
  }

  void add(const WorkerCounts& counts) {
    drained_.completed += counts.completed;
    drained_.retried += counts.retried;
    drained_.failed += counts.failed;
    drained_.released += counts.released;
    drained_.cancelled += counts.cancelled;
    drained_.lost += counts.lost;
    runs_ = drained_.completed + drained_.retried + drained_.failed + drained_.released + drained_.cancelled + drained_.lost;
  }

  [[noreturn]] void give_up(const std::string& limit) {
    read_failures();
    std::string text = fmt::format("drain gave up after {}: {}", limit, drained_.text());
    const auto left =
        database_.rows(fmt::format("SELECT kind, queue, count(*) FROM (SELECT id, kind, queue FROM {0}.ready_tasks UNION SELECT id, kind, "
                                   "queue FROM {0}.running_tasks) t"
                                   " GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 20",
                                   schema_));
    text += left.empty() ? "\nnothing is due any more" : "\nstill due:";
    for (const auto& row : left) text += fmt::format("\n  {} {} in {}", row[2], row[0], row[1]);
    throw AssertionFailed(text);
  }

  void read_failures() {
    drained_.failures.clear();
    for (const auto& row : database_.rows(
             fmt::format("SELECT t.id, t.kind, e ->> 'attempt', e ->> 'message', t.status FROM {}.tasks t, jsonb_array_elements(t.errors) e"
                         " WHERE e ->> 'worker' IN ({}) ORDER BY t.id, (e ->> 'attempt')::integer",
                         schema_, list_of(workers_)))) {
      drained_.failures.push_back(
          {.id = {std::stoll(row[0])}, .kind = row[1], .attempt = std::stoi(row[2]), .message = row[3], .status = status_from(row[4])});
    }
  }

  // What a worker leaves alone is due as it was, for another drain that has a handler for it.
  void read_unhandled() {
    drained_.unhandled.clear();
    for (const auto& row : database_.rows(fmt::format("SELECT t.kind, count(*) FROM {0}.tickets k JOIN {0}.tasks t ON t.id = k.id"
                                                      " WHERE k.run_at <= {0}.clock() AND t.kind <> ALL ({1}::text[]) {2} GROUP BY 1",
                                                      schema_, base::quote_literal(handled_),
                                                      options_.queues.empty() ? "" : "AND k." + within(options_.queues))))
      drained_.unhandled[row[0]] = std::stoll(row[1]);
  }

  Database& database_;
  const std::function<void(Worker&)>& configure_;
  const DrainOptions& options_;
  std::string schema_;
  SteadyClock::time_point end_;
  std::vector<std::string> workers_{};
  std::string handled_ = "{}";  // the kinds that `configure` gave handlers, as an array's text
  std::int64_t runs_ = 0;
  Drained drained_{};
};

}  // namespace

std::string Drained::text() const {
  std::string text = fmt::format("{} completed, {} retried, {} failed", completed, retried, failed);
  if (released > 0) text += fmt::format(", {} given back", released);
  if (cancelled > 0) text += fmt::format(", {} cancelled", cancelled);
  if (lost > 0) text += fmt::format(", {} lost", lost);
  for (const auto& [kind, count] : unhandled) text += fmt::format("\n  no handler for {} ({} due)", kind, count);
  for (const Failure& one : failures) {
    text +=
        fmt::format("\n  task {} ({}), attempt {}, now {}: {}", one.id.value, one.kind, one.attempt, to_string(one.status), one.message);
  }
  return text;
}

Drained drain(Database& database, const std::function<void(Worker&)>& configure, const DrainOptions& options) {
  if (options.tasks_max < 1) throw InvalidArgument("tasks_max", fmt::format("is {}; allowed is 1 and more", options.tasks_max));
  if (options.time_max < 1ms)
    throw InvalidArgument("time_max", fmt::format("is {} ms; allowed is 1 ms and more", options.time_max.count()));
  return Draining(database, configure, options).run();
}

}  // namespace millrace::testing
