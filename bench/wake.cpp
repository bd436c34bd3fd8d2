// wake: from the call of enqueue to the start of the handler, on an idle worker. The ceiling is one autocommitted
// statement that inserts the two rows and notifies, until a listening thread has claimed the task.
#include "ceiling.hpp"
#include "scenarios.hpp"

#include <millrace/client.hpp>
#include <millrace/error.hpp>
#include <millrace/worker.hpp>

#include <fmt/format.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <poll.h>

#include <atomic>
#include <chrono>
#include <future>
#include <semaphore>
#include <thread>

namespace millrace::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// A worker that is woken more than about a hundred times a second stops asking for it: stay well below.
constexpr auto pace = 15ms;

// Where the side that starts the task tells when it did.
struct Started {
  std::atomic<Clock::rep> at{0};
  std::binary_semaphore flag{0};
  void tell() {
    at = Clock::now().time_since_epoch().count();
    flag.release();
  }
  double await(Clock::time_point begin) {
    if (!flag.try_acquire_for(10s)) throw StateError("a task was not started within 10 s");
    return std::chrono::duration<double, std::milli>(Clock::duration(at.load()) - begin.time_since_epoch()).count();
  }
};

// Milliseconds of `wakes` calls of `enqueue`, each on an idle queue. The first is not counted.
template <class Enqueue>
std::vector<double> measure(int wakes, Started& started, const Enqueue& enqueue) {
  std::vector<double> times;
  auto next = Clock::now();
  for (int i = 0; i <= wakes; ++i) {
    std::this_thread::sleep_until(next);
    const auto begin = Clock::now();
    next = begin + pace;
    enqueue();
    const double took = started.await(begin);
    if (i > 0) times.push_back(took);
  }
  return times;
}

// Listens, claims one task per wake, completes nothing.
class Sleeper {
 public:
  Sleeper(const Scratch& scratch, Started& started)
      : link_(scratch.conninfo()), started_(started), listening_(std::async(std::launch::async, [this] { listen(); })) {
    link_.prepare("claim", ceiling_claim(scratch, "ceiling"));
    link_.run("LISTEN millrace_bench_wake");
    ready_.release();
  }
  ~Sleeper() {
    over_ = true;
    listening_.wait();
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  Sleeper(Sleeper&&) = delete;
  Sleeper& operator=(Sleeper&&) = delete;

 private:
  void listen() {
    ready_.acquire();
    while (!over_) {
      pollfd socket{PQsocket(link_.raw()), POLLIN, 0};
      if (::poll(&socket, 1, 50) <= 0) continue;
      PQconsumeInput(link_.raw());
      while (PGnotify* note = PQnotifies(link_.raw())) {
        PQfreemem(note);
        if (link_.execute("claim", {"-infinity", "0", "1"}).size() == 1) started_.tell();
      }
    }
  }

  Link link_;
  Started& started_;
  std::binary_semaphore ready_{0};
  std::atomic<bool> over_{false};
  std::future<void> listening_;
};

void await_wish(Scratch& scratch) {
  const auto patience = Clock::now() + 10s;
  while (scratch.run("SELECT FROM @.workers WHERE wants_wake").size() == 0) {
    if (Clock::now() > patience) throw StateError("the idle worker did not ask to be woken");
    std::this_thread::sleep_for(10ms);
  }
}

}  // namespace

std::vector<Json> wake(const ConnectionString& database, const Options& options) {
  Scratch scratch(database);
  progress(fmt::format("wake: {} wakes per round, {} ms apart, {} rounds", options.tasks, pace.count(), options.rounds));
  Started worker_started, sleeper_started;
  WorkerOptions worker_options;
  worker_options.database = scratch.conninfo();
  worker_options.schema = scratch.schema();
  worker_options.logger = std::make_shared<spdlog::logger>("bench", std::make_shared<spdlog::sinks::null_sink_mt>());
  Worker worker(worker_options);
  worker.handle_raw("noop", [&](Context&) {
    worker_started.tell();
    return Outcome<std::string>(std::string());
  });
  worker.start();
  Client client({.database = scratch.conninfo(), .schema = scratch.schema()});
  const Sleeper sleeper(scratch, sleeper_started);
  Link bare(scratch.conninfo());
  bare.prepare("enqueue", scratch.sql("WITH t AS (INSERT INTO @.tasks (kind, queue, args) VALUES ($1, 'ceiling', $2)"
                                      "           RETURNING queue, priority / 25, @.kind_hash(kind), run_at, id, ctid),"
                                      " k AS (INSERT INTO @.tickets SELECT * FROM t)"
                                      " SELECT pg_notify('millrace_bench_wake', ''), id FROM t"));
  constexpr const char* args = R"({"to": "user@example.com", "n": 1})";
  std::vector<double> ours, theirs, all_ours, all_theirs;
  const auto add = [](std::vector<double>& medians, std::vector<double>& all, const std::vector<double>& times, const char* name,
                      int round) {
    medians.push_back(median(times));
    all.insert(all.end(), times.begin(), times.end());
    progress(fmt::format("  round {}: {} p50 {:.3f} ms, p99 {:.3f} ms", round, name, medians.back(), quantile(times, 0.99)));
  };
  interleave(
      options.rounds,
      [&](int round) {
        await_wish(scratch);
        add(ours, all_ours, measure(options.tasks, worker_started, [&] { static_cast<void>(client.enqueue("noop", args)); }), "millrace",
            round);
      },
      [&](int round) {
        add(theirs, all_theirs,
            measure(options.tasks, sleeper_started,
                    [&] {
                      bare.execute("enqueue", {"noop", args});
                    }),
            "ceiling", round);
      });
  worker.stop();
  const auto each = ratios(ours, theirs);
  const auto line = [&](const char* system, const std::vector<double>& medians, const std::vector<double>& all) {
    return Json{{"scenario", "wake"},
                {"system", system},
                {"wakes", all.size()},
                {"ms_p50", rounded(median(all), 3)},
                {"ms_p99", rounded(quantile(all, 0.99), 3)},
                {"rounds", rounded(medians, 3)}};
  };
  Json mine = line("millrace", ours, all_ours);
  mine["ratio"] = rounded(median(each), 3);
  mine["p99_to_p50"] = rounded(quantile(all_ours, 0.99) / median(all_ours), 2);
  mine["ratios"] = rounded(each, 3);
  return {mine, line("ceiling", theirs, all_theirs)};
}

}  // namespace millrace::bench
