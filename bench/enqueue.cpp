// bench enqueue: single commits from eight clients against one hand-written statement, and 100,000 at once against COPY.
#include "scenarios.hpp"

#include "arena.hpp"
#include "report.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <thread>

namespace millrace::bench {
namespace {

constexpr int clients = 8;
constexpr const char* args = R"({"n": 12345, "to": "user@example.com"})";

// Commits per second of `total` commits by eight clients, each made by `client`.
double rate(int total, const std::function<std::function<void()>()>& client) {
  std::vector<std::function<void()>> calls;
  for (int i = 0; i < clients; ++i) {
    calls.push_back(client());
    calls.back()();
  }
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (const auto& call : calls) {
    threads.emplace_back([&call, total] {
      for (int i = 0; i < total / clients; ++i) call();
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return total / took.count();
}

std::function<void()> our_client(const Arena& arena) {
  const auto client = std::make_shared<Client>(ClientOptions{.database = arena.database(), .schema = arena.schema()});
  return [client] { client->enqueue("noop", args); };
}

std::function<void()> bare_client(const Arena& arena) {
  const std::shared_ptr<PGconn> link(dial(arena.database()).release(), &PQfinish);
  const std::string sql = fmt::format(
      "WITH t AS (INSERT INTO {0}.tasks (kind, args) VALUES ($1, $2::jsonb) RETURNING queue, priority / 25 AS bucket, run_at, id, ctid)"
      " INSERT INTO {0}.tickets SELECT * FROM t RETURNING id",
      arena.schema());
  const Rows prepared(PQprepare(link.get(), "add", sql.c_str(), 0, nullptr), &PQclear);
  return [link] {
    const char* params[] = {"noop", args};
    const Rows rows(PQexecPrepared(link.get(), "add", 2, params, nullptr, nullptr, 0), &PQclear);
    if (PQresultStatus(rows.get()) != PGRES_TUPLES_OK) throw Error(PQerrorMessage(link.get()));
  };
}

void copy(PGconn* link, const std::string& into, const std::string& lines) {
  const Rows begun(PQexec(link, ("COPY " + into + " FROM STDIN").c_str()), &PQclear);
  if (PQputCopyData(link, lines.data(), static_cast<int>(lines.size())) != 1 || PQputCopyEnd(link, nullptr) != 1) throw Error(PQerrorMessage(link));
  const Rows ended(PQgetResult(link), &PQclear);
  if (PQresultStatus(ended.get()) != PGRES_COMMAND_OK) throw Error(PQerrorMessage(link));
  while (const Rows more = Rows(PQgetResult(link), &PQclear)) {
  }
}

double bulk_by_copy(Arena& arena, int tasks) {
  const Link link = dial(arena.database());
  const auto begin = std::chrono::steady_clock::now();
  std::string rows;
  std::string tickets;
  for (int i = 1; i <= tasks; ++i) {
    rows += fmt::format("{}\tnoop\t{}\n", i, args);
    tickets += fmt::format("default\t2\t2026-01-01 00:00:00+00\t{}\t(0,1)\n", i);
  }
  execute(link.get(), "BEGIN");
  copy(link.get(), arena.schema() + ".tasks (id, kind, args)", rows);
  copy(link.get(), arena.schema() + ".tickets", tickets);
  execute(link.get(), "COMMIT");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return tasks / took.count();
}

double bulk_by_us(Arena& arena, int tasks) {
  Client client({.database = arena.database(), .schema = arena.schema()});
  const std::vector<std::string> all(static_cast<std::size_t>(tasks), args);
  const auto begin = std::chrono::steady_clock::now();
  client.enqueue_many("noop", all);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return tasks / took.count();
}

}  // namespace

void enqueue(const ConnectionString& database, const Options& options) {
  Arena arena(database);
  std::vector<double> ours, bare, many, copied;
  for (int round = 0; round < options.rounds; ++round) {
    for (int turn = 0; turn < 2; ++turn) {
      check_interrupted();
      const bool mine = (round + turn) % 2 == 0;
      arena.clear();
      arena.link().script("CHECKPOINT");
      if (mine) ours.push_back(rate(options.tasks, [&] { return our_client(arena); }));
      else bare.push_back(rate(options.tasks, [&] { return bare_client(arena); }));
      arena.clear();
      arena.link().script("CHECKPOINT");
      if (mine) many.push_back(bulk_by_us(arena, 100'000));
      else copied.push_back(bulk_by_copy(arena, 100'000));
    }
    progress(fmt::format("round {}: single {:.0f}/s of {:.0f}/s, bulk {:.0f}/s of {:.0f}/s", round + 1, ours.back(), bare.back(), many.back(), copied.back()));
  }
  report(options.json, {{"scenario", "enqueue"}, {"mode", "single"}, {"system", "ceiling"}, {"rate_per_s", median(bare)}, {"rounds", bare}});
  report(options.json, {{"scenario", "enqueue"}, {"mode", "single"}, {"system", "millrace"}, {"rate_per_s", median(ours)}, {"ratio", median(ours) / median(bare)}, {"rounds", ours}});
  report(options.json, {{"scenario", "enqueue"}, {"mode", "bulk"}, {"system", "ceiling"}, {"rate_per_s", median(copied)}, {"rounds", copied}});
  report(options.json, {{"scenario", "enqueue"}, {"mode", "bulk"}, {"system", "millrace"}, {"rate_per_s", median(many)}, {"ratio", median(many) / median(copied)}, {"rounds", many}});
}

}  // namespace millrace::bench
