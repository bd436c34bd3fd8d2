// A worker with nothing to do: it sleeps, it hears, and it survives being taken for dead.
#include "worker/house.hpp"
#include "worker/paper.hpp"

#include <fmt/format.h>

#include <sys/resource.h>

#include <latch>

using namespace millrace;
using namespace millrace::test;

namespace {

std::chrono::microseconds cpu_time() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) { return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec); };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

// The share of a core that this process takes while the database's clock goes on for a second.
double busy_share(House& house) {
  const auto end = house.schema.number("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint") + 1000;
  const auto cpu = cpu_time();
  const auto begin = std::chrono::steady_clock::now();
  CHECK(eventually([&] { return house.schema.number("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint") >= end; }));
  return std::chrono::duration<double>(cpu_time() - cpu) / (std::chrono::steady_clock::now() - begin);
}

// How often workers of this house called claim(), whose sessions count their calls.
std::int64_t claims(House& house) {
  return house.schema.number(
      fmt::format("SELECT coalesce((SELECT calls FROM pg_stat_user_functions WHERE schemaname = '{}' AND funcname = 'claim'), 0)",
                  house.schema.name()));
}

void forget_worker(House& house, const Worker& worker) {
  house.schema.connection().run(fmt::format("UPDATE workers SET seen_at = now() - interval '1 hour' WHERE id = '{}'", worker.id()));
  house.schema.connection().run("SELECT * FROM rescue()");
}

}  // namespace

TEST_CASE("a paused worker sleeps, also when a task that it saw coming is due") {
  House house;
  auto options = house.options();
  options.poll_interval = 1h;
  Worker worker(options);
  worker.handle_raw("work", nothing);
  worker.start();
  REQUIRE(house.client.wait(house.client.enqueue("work").id, 20s)->status == Status::completed);
  const auto id = house.client.enqueue("work", "{}", {.delay = 1s}).id;
  // The claim that finds nothing tells when the next one is due.
  REQUIRE(eventually([&] { return house.count("workers WHERE wants_wake") == 1; }));
  worker.pause();
  REQUIRE(eventually([&] { return house.count("ready_tasks") == 1; }));
  CHECK(busy_share(house) < 0.6);
  worker.resume();
  CHECK(house.reaches(id, Status::completed));
  CHECK(worker.stop());
}

TEST_CASE("a worker whose only thread is busy sleeps, also when a task that it saw coming is due") {
  House house;
  auto options = house.options();
  options.poll_interval = 1h;
  options.queues = {{"default", 1}};
  std::latch go(1);
  Worker worker(options);
  worker.handle_raw("long", [&](Context&) -> Outcome<std::string> {
    go.wait();
    return std::string{};
  });
  worker.start();
  const auto later = house.client.enqueue("long", "{}", {.delay = 500ms}).id;
  const auto id = house.client.enqueue("long").id;
  REQUIRE(house.reaches(id, Status::running));
  REQUIRE(eventually([&] { return house.count("ready_tasks") == 1; }));
  CHECK(busy_share(house) < 0.6);
  go.count_down();
  CHECK(house.reaches(later, Status::completed));
  CHECK(worker.stop());
}

TEST_CASE("a task or a schedule that is due in thousands of years keeps nobody busy") {
  House house;
  auto options = house.options();
  const std::string url = house.schema.url();
  options.database = url + (url.find('?') == std::string::npos ? "?" : "&") + "options=-ctrack_functions%3Dall";
  options.poll_interval = 1h;
  house.client.enqueue("work", "{}", {.run_at = std::chrono::sys_days(std::chrono::year(9999) / 12 / 31)});
  Worker worker(options);
  worker.handle_raw("work", nothing);
  worker.start();
  REQUIRE(eventually([&] { return house.count("workers WHERE wants_wake") == 1; }));
  const auto before = house.schema.number("SELECT (extract(epoch FROM seen_at) * 1000)::bigint FROM workers");
  REQUIRE(
      eventually([&] { return house.schema.number("SELECT (extract(epoch FROM seen_at) * 1000)::bigint FROM workers") > before + 1000; }));
  CHECK(worker.stop());
  CHECK(eventually([&] { return claims(house) > 0; }));
  CHECK(claims(house) < 100);
}

TEST_CASE("an idle worker that was taken for dead wants to be woken again") {
  House house;
  auto options = house.options();
  options.poll_interval = 1h;
  Worker worker(options);
  worker.handle_raw("work", nothing);
  worker.start();
  REQUIRE(eventually([&] { return house.count("workers WHERE wants_wake") == 1; }));
  for (int i = 0; i < 3; ++i) {
    forget_worker(house, worker);
    REQUIRE(eventually([&] { return house.count("workers WHERE wants_wake") == 1; }));
    CHECK(house.client.wait(house.client.enqueue("work").id, 20s)->status == Status::completed);
  }
  CHECK(worker.stop());
  house.consistent();
}

TEST_CASE("a worker that was taken for dead attaches all of its sessions again") {
  House house;
  auto options = house.options();
  Worker worker(options);
  worker.handle_raw("work", nothing);
  worker.start();
  REQUIRE(house.client.wait(house.client.enqueue("work").id, 20s)->status == Status::completed);
  // As if its sessions had been opened while it was rescued.
  house.schema.connection().script("BEGIN; DELETE FROM worker_sessions; DELETE FROM workers; COMMIT");
  // Claimer, completer, heart and listener.
  CHECK(eventually([&] {
    static_cast<void>(house.client.wait(house.client.enqueue("work").id, 20s));
    return house.count("worker_sessions s JOIN pg_stat_activity a USING (pid, backend_start)") >= 4;
  }));
  CHECK(worker.stop());
  house.consistent();
}

TEST_CASE("a worker that cannot register again at once tries until it can") {
  House house;
  Paper paper;
  auto options = house.options();
  options.poll_interval = 20ms;
  options.logger = paper.logger();
  Worker worker(options);
  worker.handle_raw("work", nothing);
  worker.start();
  REQUIRE(house.client.wait(house.client.enqueue("work").id, 20s)->status == Status::completed);
  auto& link = house.schema.connection();
  const std::string arguments =
      link.run("SELECT oidvectortypes(proargtypes) FROM pg_proc WHERE oid = to_regproc('register_worker')::oid").text(0, 0).data();
  link.script(fmt::format("BEGIN; ALTER FUNCTION register_worker({}) RENAME TO away; DELETE FROM workers; COMMIT", arguments));
  const auto id = house.client.enqueue("work").id;
  REQUIRE(paper.says("claimer: this worker was taken for dead; registering again"));
  REQUIRE(paper.says("claimer: schema"));
  link.script(fmt::format("ALTER FUNCTION away({}) RENAME TO register_worker", arguments));
  CHECK(house.reaches(id, Status::completed));
  CHECK(worker.stop());
  house.consistent();
}
