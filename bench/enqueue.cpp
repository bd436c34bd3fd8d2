// enqueue: single commits of eight clients against a hand-written statement that inserts the same two rows, and bulk
// against raw COPY into both tables. No worker is there, so nothing is woken and nothing claims.
#include "scenarios.hpp"
#include "scratch.hpp"

#include <millrace/client.hpp>
#include <millrace/error.hpp>

#include <fmt/format.h>

#include <chrono>
#include <future>
#include <latch>
#include <memory>

namespace millrace::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int clients = 8;

std::string args_of(int i) { return fmt::format(R"({{"to": "user@example.com", "n": {}}})", i); }

// Seconds that `clients` threads take to do `each` calls apiece. make() builds a thread's own call, with its connection.
template <class Make>
double race(int each, const Make& make) {
  std::latch ready(clients + 1), go(1);
  std::vector<std::future<void>> threads;
  for (int client = 0; client < clients; ++client) {
    threads.push_back(std::async(std::launch::async, [&] {
      std::exception_ptr failure;
      decltype(make()) call;
      try {
        call = make();
        call(args_of(0));  // connects and prepares
      } catch (...) {
        failure = std::current_exception();
      }
      ready.count_down();
      go.wait();
      if (failure) std::rethrow_exception(failure);
      for (int i = 0; i < each; ++i) call(args_of(i));
    }));
  }
  ready.arrive_and_wait();
  const auto begin = Clock::now();
  go.count_down();
  for (auto& thread : threads) thread.get();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

using Call = std::function<void(const std::string&)>;

double single_ours(Scratch& scratch, int each) {
  return race(each, [&]() -> Call {
    auto client = std::make_shared<Client>(ClientOptions{.database = scratch.conninfo(), .schema = scratch.schema()});
    return [client](const std::string& args) { static_cast<void>(client->enqueue("noop", args)); };
  });
}

double single_bare(Scratch& scratch, int each) {
  return race(each, [&]() -> Call {
    auto link = std::make_shared<Link>(scratch.conninfo());
    link->prepare("enqueue", scratch.sql("WITH t AS (INSERT INTO @.tasks (kind, args) VALUES ($1, $2)"
                                         "           RETURNING queue, priority / 25, @.kind_hash(kind), run_at, id, ctid)"
                                         " INSERT INTO @.tickets SELECT * FROM t RETURNING id"));
    return [link](const std::string& args) { link->execute("enqueue", {"noop", args.c_str()}); };
  });
}

double bulk_ours(Scratch& scratch, const std::vector<std::string>& args) {
  Client client({.database = scratch.conninfo(), .schema = scratch.schema()});
  static_cast<void>(client.list());  // connects
  const auto begin = Clock::now();
  const auto ids = client.enqueue_many("noop", args);
  const std::chrono::duration<double> took = Clock::now() - begin;
  if (ids.size() != args.size()) throw StateError("enqueue_many returned too few ids");
  return took.count();
}

// The same rows; their ids are chosen here, and their places are unknown to COPY.
double bulk_bare(Scratch& scratch, const std::vector<std::string>& args) {
  Link link(scratch.conninfo());
  const Rows known = link.run(scratch.sql("SELECT now(), @.kind_hash('noop')"));
  const std::string now = known.text(0, 0), hash = known.text(0, 1);
  const auto begin = Clock::now();
  std::string tasks, tickets;
  for (std::size_t i = 0; i < args.size(); ++i) {
    tasks += fmt::format("{}\tnoop\t{}\n", i + 1, args[i]);
    tickets += fmt::format("default\t2\t{}\t{}\t{}\t(0,1)\n", hash, now, i + 1);
  }
  link.run("BEGIN");
  link.copy(scratch.sql("COPY @.tasks (id, kind, args) FROM STDIN"), tasks);
  link.copy(scratch.sql("COPY @.tickets (queue, bucket, kind_hash, run_at, id, tid) FROM STDIN"), tickets);
  link.run("COMMIT");
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::vector<double> rates(const std::vector<double>& seconds, int tasks) {
  std::vector<double> out;
  for (const double one : seconds) out.push_back(rounded(tasks / one, 0));
  return out;
}

// Both sides of one mode, in rounds on emptied tables.
std::vector<Json> compare(Scratch& scratch, const char* mode, int tasks, int rounds, const std::function<double()>& ours,
                          const std::function<double()>& theirs) {
  std::vector<double> mine, bare;
  const auto once = [&](std::vector<double>& into, const std::function<double()>& measure, const char* name, int round) {
    scratch.clear();
    scratch.settle();
    into.push_back(measure());
    const Rows rows = scratch.run("SELECT (SELECT count(*) FROM @.tasks) = (SELECT count(*) FROM @.tickets)");
    if (rows.text(0, 0)[0] != 't') throw StateError("tasks and tickets differ in number");
    progress(fmt::format("  round {}: {} {} {:.0f}/s", round, mode, name, tasks / into.back()));
  };
  interleave(
      rounds, [&](int round) { once(mine, ours, "millrace", round); }, [&](int round) { once(bare, theirs, "ceiling", round); });
  const auto each = ratios(bare, mine);  // of times, so the other way round
  return {{{"scenario", "enqueue"},
           {"system", "millrace"},
           {"mode", mode},
           {"tasks", tasks},
           {"rate_per_s", median(rates(mine, tasks))},
           {"ratio", rounded(median(each), 3)},
           {"rounds", rates(mine, tasks)},
           {"ratios", rounded(each, 3)}},
          {{"scenario", "enqueue"},
           {"system", "ceiling"},
           {"mode", mode},
           {"tasks", tasks},
           {"rate_per_s", median(rates(bare, tasks))},
           {"rounds", rates(bare, tasks)}}};
}

}  // namespace

std::vector<Json> enqueue(const ConnectionString& database, const Options& options) {
  Scratch scratch(database);
  const int each = std::max(1, options.tasks / 10 / clients);
  progress(fmt::format("enqueue: single {} x {}, bulk {}, {} rounds", clients, each, options.tasks, options.rounds));
  auto lines = compare(
      scratch, "single", each * clients, options.rounds, [&] { return single_ours(scratch, each); },
      [&] { return single_bare(scratch, each); });
  std::vector<std::string> args;
  for (int i = 0; i < options.tasks; ++i) args.push_back(args_of(i));
  for (Json& line : compare(
           scratch, "bulk", options.tasks, options.rounds, [&] { return bulk_ours(scratch, args); },
           [&] { return bulk_bare(scratch, args); })) {
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace millrace::bench
