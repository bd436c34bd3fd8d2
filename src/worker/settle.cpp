#include "worker/settle.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace millrace::worker {

using postgres::ArrayText;
using postgres::Params;

std::string array_of(const std::vector<LeaseId>& leases) {
  ArrayText text;
  for (const LeaseId lease : leases) text.integer(lease.value);
  return std::move(text).take();
}

namespace {

// The arrays that name the tasks of a settlement.
struct Names {
  ArrayText ids, hints, leases;
  explicit Names(const std::vector<Settlement>& part) {
    for (const Settlement& one : part) {
      ids.integer(one.id().value);
      hints.text(one.hint());
      leases.integer(one.batch->lease.value);
    }
  }
};

std::vector<Verdict> exceptions_of(const postgres::Result& rows) {
  std::vector<Verdict> all;
  for (int row = 0; row < rows.size(); ++row) {
    if (!rows.is_null(row, 1)) all.push_back({rows.integer(row, 0), rows.text(row, 1) == "held"});
  }
  return all;
}

Answer send_completions(State& state, postgres::Connection& link, const std::vector<Settlement>& part, bool careful) {
  Names names(part);
  Params params;
  params.text(state.id).text(std::move(names.ids).take()).text(std::move(names.hints).take()).text(std::move(names.leases).take());
  if (std::any_of(part.begin(), part.end(), [](const Settlement& one) { return !one.text.empty(); })) {
    ArrayText results;
    for (const Settlement& one : part) one.text.empty() ? results.null() : results.text(one.text);
    params.text(std::move(results).take());
  } else {
    params.null();
  }
  const std::vector<LeaseId> done = state.ledger.take_done();
  params.text(array_of(done)).boolean(careful);
  try {
    return {.exceptions = exceptions_of(link.run(
                fmt::format("SELECT id, verdict FROM {}.complete($1, $2::bigint[], $3::tid[], $4::bigint[], $5::jsonb[], $6::bigint[], $7)",
                            state.schema),
                params))};
  } catch (...) {
    state.ledger.put_back_done(done);
    throw;
  }
}

Answer send_failures(const State& state, postgres::Connection& link, const std::vector<Settlement>& part, bool careful) {
  Names names(part);
  ArrayText messages, finals, delays;
  for (const Settlement& one : part) {
    messages.text(one.text);
    finals.boolean(one.final);
    one.delay ? delays.text(fmt::format("{} milliseconds", one.delay->count())) : delays.null();
  }
  const auto rows = link.run(
      fmt::format(
          "SELECT id, verdict, status, run_at FROM {}.fail($1, $2::bigint[], $3::bigint[], $4::text[], $5::boolean[], $6::interval[], $7)",
          state.schema),
      Params()
          .text(state.id)
          .text(std::move(names.ids).take())
          .text(std::move(names.leases).take())
          .text(std::move(messages).take())
          .text(std::move(finals).take())
          .text(std::move(delays).take())
          .boolean(careful));
  Answer answer{.exceptions = exceptions_of(rows)};
  for (int row = 0; row < rows.size(); ++row) {
    if (rows.is_null(row, 1)) answer.failed.emplace(rows.integer(row, 0), Recorded{std::string(rows.text(row, 2)), rows.time(row, 3)});
  }
  return answer;
}

Answer send_cancellations(const State& state, postgres::Connection& link, const std::vector<Settlement>& part, bool careful) {
  Names names(part);
  ArrayText reasons;
  for (const Settlement& one : part) reasons.text(one.text);
  return {.exceptions = exceptions_of(link.run(
              fmt::format("SELECT id, verdict FROM {}.settle_cancelled($1, $2::bigint[], $3::bigint[], $4::text[], $5)", state.schema),
              Params()
                  .text(state.id)
                  .text(std::move(names.ids).take())
                  .text(std::move(names.leases).take())
                  .text(std::move(reasons).take())
                  .boolean(careful)))};
}

Answer send_releases(const State& state, postgres::Connection& link, const std::vector<Settlement>& part, bool careful) {
  // One call per (delay, note): nearly always one.
  std::map<std::pair<std::int64_t, std::string>, std::vector<Settlement>> alike;
  for (const Settlement& one : part) alike[{one.delay.value_or(Milliseconds{0}).count(), one.text}].push_back(one);
  Answer answer;
  for (const auto& [how, tasks] : alike) {
    Names names(tasks);
    const auto rows =
        link.run(fmt::format("SELECT id, verdict FROM {}.release($1, $2::bigint[], $3::bigint[], $4::interval, $5, $6)", state.schema),
                 Params()
                     .text(state.id)
                     .text(std::move(names.ids).take())
                     .text(std::move(names.leases).take())
                     .text(fmt::format("{} milliseconds", how.first))
                     .maybe(how.second.empty() ? std::nullopt : std::optional(how.second))
                     .boolean(careful));
    for (const Verdict& one : exceptions_of(rows)) answer.exceptions.push_back(one);
  }
  return answer;
}

}  // namespace

Answer send(State& state, postgres::Connection& link, const std::vector<Settlement>& part, bool careful) {
  switch (part[0].kind) {
    case Settlement::Kind::complete: return send_completions(state, link, part, careful);
    case Settlement::Kind::fail: return send_failures(state, link, part, careful);
    case Settlement::Kind::cancel: return send_cancellations(state, link, part, careful);
    case Settlement::Kind::release:
    case Settlement::Kind::committed: break;
  }
  return send_releases(state, link, part, careful);
}

}  // namespace millrace::worker
