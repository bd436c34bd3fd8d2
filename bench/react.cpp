// wait: from a handler's return to the return of Client::wait. cancel: from the call of Client::cancel to the stop token
// of the running handler. There is no ceiling: both are delays that people notice.
#include "scenarios.hpp"
#include "scratch.hpp"

#include <millrace/client.hpp>
#include <millrace/error.hpp>
#include <millrace/worker.hpp>

#include <fmt/format.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <semaphore>
#include <thread>

namespace millrace::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Between two measurements, so that each finds everybody at rest.
constexpr auto rest = 20ms;

double ms_since(Clock::time_point begin, Clock::time_point end) { return std::chrono::duration<double, std::milli>(end - begin).count(); }

// A worker in this process with one handler, and a client.
struct Pair {
  Pair(const Scratch& scratch, RawHandler handler)
      : worker(options_for(scratch)), client({.database = scratch.conninfo(), .schema = scratch.schema()}) {
    worker.handle_raw("task", std::move(handler));
    worker.start();
  }
  static WorkerOptions options_for(const Scratch& scratch) {
    WorkerOptions options;
    options.database = scratch.conninfo();
    options.schema = scratch.schema();
    options.logger = std::make_shared<spdlog::logger>("bench", std::make_shared<spdlog::sinks::null_sink_mt>());
    return options;
  }
  Worker worker;
  Client client;
};

std::vector<Json> report(const char* scenario, const Options& options, const std::function<double()>& once) {
  std::vector<double> all, medians;
  static_cast<void>(once());  // plans and caches
  for (int round = 1; round <= options.rounds; ++round) {
    std::vector<double> times;
    for (int i = 0; i < options.tasks; ++i) {
      std::this_thread::sleep_for(rest);
      times.push_back(once());
    }
    medians.push_back(median(times));
    all.insert(all.end(), times.begin(), times.end());
    progress(fmt::format("  round {}: p50 {:.2f} ms, p99 {:.2f} ms", round, medians.back(), quantile(times, 0.99)));
  }
  return {Json{{"scenario", scenario},
               {"system", "millrace"},
               {"tasks", all.size()},
               {"ms_p50", rounded(median(all), 2)},
               {"ms_p99", rounded(quantile(all, 0.99), 2)},
               {"rounds", rounded(medians, 2)}}};
}

}  // namespace

std::vector<Json> wait(const ConnectionString& database, const Options& options) {
  Scratch scratch(database);
  progress(fmt::format("wait: {} tasks per round, {} rounds", options.tasks, options.rounds));
  std::atomic<Clock::rep> ended{0};
  Pair pair(scratch, [&](Context&) {
    std::this_thread::sleep_for(10ms);  // by then somebody waits
    ended = Clock::now().time_since_epoch().count();
    return Outcome<std::string>(std::string());
  });
  return report("wait", options, [&] {
    const auto id = pair.client.enqueue("task").id;
    if (!pair.client.wait(id, 10s)) throw StateError("a task did not end within 10 s");
    return ms_since(Clock::time_point(Clock::duration(ended.load())), Clock::now());
  });
}

std::vector<Json> cancel(const ConnectionString& database, const Options& options) {
  Scratch scratch(database);
  progress(fmt::format("cancel: {} tasks per round, {} rounds", options.tasks, options.rounds));
  std::binary_semaphore started{0}, stopped{0};
  Clock::time_point seen;
  Pair pair(scratch, [&](Context& context) -> Outcome<std::string> {
    std::binary_semaphore asked{0};
    const std::stop_callback callback(context.stop_token(), [&] { asked.release(); });
    started.release();
    asked.acquire();
    seen = Clock::now();
    stopped.release();
    throw std::runtime_error("cancelled");
  });
  return report("cancel", options, [&] {
    const auto id = pair.client.enqueue("task").id;
    if (!started.try_acquire_for(10s)) throw StateError("a task did not start within 10 s");
    const auto begin = Clock::now();
    pair.client.cancel(id);
    if (!stopped.try_acquire_for(10s)) throw StateError("a cancelled task was not asked to stop within 10 s");
    static_cast<void>(pair.client.wait(id, 10s));
    return ms_since(begin, seen);
  });
}

}  // namespace millrace::bench
