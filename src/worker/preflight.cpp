#include "worker/preflight.hpp"

#include "engine/schema_check.hpp"

#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>

namespace millrace::worker {
namespace {

using postgres::Params;

constexpr int page = 1000;
constexpr std::size_t examples_max = 10;

std::optional<std::string> problem_of(const KindOptions& kind, std::string_view args) {
  if (kind.problem) return kind.problem(args);
  return kind.schema ? kind.schema->problem(args) : std::nullopt;
}

class Findings {
 public:
  explicit Findings(const State& state) : state_(state) {}

  // Columns: id, kind, args.
  void look(const postgres::Result& rows) {
    for (int row = 0; row < rows.size(); ++row) {
      if (rows.is_null(row, 1)) continue;  // a ticket whose task somebody deleted
      const std::string kind(rows.text(row, 1));
      PreflightKind& found = kinds_[kind];
      ++found.live;
      const auto known = state_.kinds.find(kind);
      if (known == state_.kinds.end()) continue;
      if (const auto why = problem_of(known->second->options, rows.text(row, 2))) {
        ++found.unreadable;
        if (found.examples.size() < examples_max) found.examples.push_back({{rows.integer(row, 0)}, *why});
      }
    }
  }
  [[nodiscard]] std::vector<PreflightKind> take() {
    std::vector<PreflightKind> all;
    all.reserve(kinds_.size());
    for (auto& [kind, found] : kinds_) {
      found.kind = kind;
      found.handled = state_.kinds.contains(kind);
      all.push_back(std::move(found));
    }
    return all;
  }

 private:
  const State& state_;
  std::map<std::string, PreflightKind> kinds_;
};

}  // namespace

std::vector<PreflightKind> preflight(const State& state) {
  postgres::Connection link(postgres::Dial{
      .url = state.options.database, .application = "millrace preflight", .schema = state.options.schema, .session = state.options.listen});
  engine::check_schema(link, state.options.schema);
  Findings findings(state);
  for (const auto& serving : state.queues) {
    const std::string& queue = serving->lane.queue();
    findings.look(link.run(fmt::format("SELECT t.id, t.kind, t.args FROM {0}.leases l CROSS JOIN unnest(l.task_ids) AS u (id)"
                                       " JOIN {0}.tasks t ON t.id = u.id WHERE t.status = 'running' AND t.lease = l.id AND t.queue = $1",
                                       state.schema),
                           Params().text(queue)));
    // By the tickets' index, a page at a time: there may be millions, and each is read once.
    std::string bucket = "-2", time = "-infinity", id = "0";
    for (;;) {
      const auto rows = link.run(fmt::format("SELECT t.id, t.kind, t.args, k.bucket, k.run_at, k.id FROM (SELECT * FROM {0}.tickets"
                                             " WHERE queue = $1 AND (bucket, run_at, id) > ($2::smallint, $3::timestamptz, $4::bigint)"
                                             " ORDER BY queue, bucket, run_at, id LIMIT {1}) k LEFT JOIN {0}.tasks t ON t.id = k.id"
                                             " ORDER BY k.bucket, k.run_at, k.id",
                                             state.schema, page),
                                 Params().text(queue).text(bucket).text(time).text(id));
      findings.look(rows);
      if (rows.size() < page) break;
      bucket = rows.text(rows.size() - 1, 3);
      time = rows.text(rows.size() - 1, 4);
      id = rows.text(rows.size() - 1, 5);
    }
  }
  return findings.take();
}

}  // namespace millrace::worker
