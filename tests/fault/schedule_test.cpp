// Schedules that tick every second, fired by processes that die and whose clocks are wrong: each tick once, none missed.
#include "fault/evidence.hpp"
#include "fault/process.hpp"
#include "support/wait.hpp"

#include <millrace/client.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <sys/wait.h>

#include <csignal>
#include <random>

using namespace std::chrono_literals;
using namespace millrace::test;

TEST_CASE("I7: 8 workers that race, die and have wrong clocks fire each tick of 200 schedules once") {
  Schema schema;
  Folder folder;
  const int seconds = number_from_environment("MILLRACE_FAULT_SECONDS", 8);
  const unsigned seed = static_cast<unsigned>(number_from_environment("MILLRACE_FAULT_SEED", 1));
  MESSAGE("seed " << seed << ", " << seconds << " seconds");
  std::minstd_rand random(seed);

  std::vector<Process> workers;
  const auto command = [&](std::size_t worker) {
    const char* skews[] = {"0", "3600", "-3600"};
    return std::vector<std::string>{"/usr/bin/env",
                                    std::string("LD_PRELOAD=") + SKEWED_CLOCK,
                                    std::string("MILLRACE_TEST_SKEW=") + skews[worker % 3],
                                    RUNNER,
                                    schema.url(),
                                    schema.name(),
                                    folder.path / "ledger"};
  };
  for (std::size_t i = 0; i < 8; ++i) workers.emplace_back(command(i));
  REQUIRE(eventually([&] { return count(schema, "workers") == 8; }, 30s));

  // All are made in one transaction, so that they have the same first tick.
  schema.connection().run(
      "SELECT count(put_schedule('s' || n, '* * * * * *', 'tick', misfire => 'skip', grace => '30 seconds'))"
      " FROM generate_series(1, 200) n");
  const std::string first = schema.value("SELECT date_trunc('second', created_at) + interval '1 second' FROM schedules LIMIT 1");
  for (int round = 0; round < seconds; ++round) {
    REQUIRE(eventually(
        [&] {
          return count(schema, fmt::format("schedule_ticks WHERE tick >= '{}'::timestamptz + interval '{} seconds'", first, round)) >= 200;
        },
        60s));
    const std::size_t victim = random() % workers.size();
    workers[victim].signal(SIGKILL);
    CHECK(WIFSIGNALED(workers[victim].wait()));
    workers[victim] = Process(command(victim));
  }
  for (Process& worker : workers) worker.signal(SIGTERM);
  for (Process& worker : workers) CHECK(WEXITSTATUS(worker.wait()) == 0);

  // From the first tick to the one before the schedule's next, every second has its tick, and each tick one task.
  CHECK(schema.number("SELECT count(DISTINCT next_tick) FROM schedules WHERE problem IS NULL") >= 1);
  CHECK(schema.number(fmt::format(
            "SELECT count(*) FROM schedules s, generate_series('{}'::timestamptz, s.next_tick - interval '1 second', '1 second') t"
            " WHERE NOT EXISTS (SELECT FROM schedule_ticks k WHERE k.schedule = s.id AND k.tick = t AND k.outcome = 'enqueued')",
            first)) == 0);
  CHECK(schema.number(fmt::format("SELECT count(*) FROM schedules WHERE next_tick < '{}'::timestamptz + interval '{} seconds'", first,
                                  seconds)) == 0);
  const std::int64_t ticks = count(schema, "schedule_ticks");
  MESSAGE(ticks << " ticks; fired after (p50, p99) "
                << schema.value("SELECT array_agg(round(p::numeric, 1)) FROM unnest((SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP"
                                " (ORDER BY extract(epoch FROM fired_at - tick) * 1000) FROM schedule_ticks)) p")
                << " ms");
  CHECK(ticks >= 200 * seconds);
  CHECK(count(schema, "tasks") == ticks);
  CHECK(schema.number("SELECT count(DISTINCT task) FROM schedule_ticks k JOIN tasks t ON t.id = k.task") == ticks);
  REQUIRE(rescued(schema));
  CHECK(count(schema, "doctor()") == 0);
}
