#include "worker/reports.hpp"

#include <fmt/format.h>

#include <utility>

namespace millrace::worker {

using postgres::ArrayText;
using postgres::Params;

void record_reports(const State& state, postgres::Connection& link, const Board::Reports& reports) {
  ArrayText ids, leases, attempts, done, totals, notes, counts, line_ids, line_back, line_ages, lines;
  const auto now = Clock::now();
  for (const auto& [task, report] : reports) {
    ids.integer(task);
    leases.integer(report.lease.value);
    attempts.integer(report.attempt);
    report.said ? done.integer(report.said->done) : done.null();
    report.said&& report.said->total > 0 ? totals.integer(report.said->total) : totals.null();
    report.said ? notes.text(report.said->note) : notes.null();
    counts.integer(report.count);
    auto back = static_cast<std::int64_t>(report.lines.size());
    for (const Board::Line& line : report.lines) {
      line_ids.integer(task);
      line_back.integer(--back);
      line_ages.integer(std::chrono::duration_cast<Milliseconds>(now - line.at).count());
      lines.text(line.text);
    }
  }
  link.run(fmt::format("SELECT {}.record_reports($1, $2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[],"
                       " $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[])",
                       state.schema),
           Params()
               .text(state.id)
               .text(std::move(ids).take())
               .text(std::move(leases).take())
               .text(std::move(attempts).take())
               .text(std::move(done).take())
               .text(std::move(totals).take())
               .text(std::move(notes).take())
               .text(std::move(counts).take())
               .text(std::move(line_ids).take())
               .text(std::move(line_back).take())
               .text(std::move(line_ages).take())
               .text(std::move(lines).take()));
}

}  // namespace millrace::worker
