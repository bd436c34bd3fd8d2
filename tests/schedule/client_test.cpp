// Schedules from C++: the client, the caller's transaction, and what a worker declares and fires.
#include "worker/house.hpp"

#include <pqxx/pqxx>

#include <atomic>

using namespace millrace;
using namespace millrace::test;

namespace {

struct Report {
  std::string day{};
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Report, day)
const millrace::Task<Report> report{"report", {.queue = "slow", .max_attempts = 3}};

}  // namespace

TEST_CASE("a schedule is made, read, paused, resumed, run and deleted") {
  House house;
  ScheduleOptions options{
      .zone = "Europe/Kyiv",
      .gap = Gap::skip,
      .fold = Fold::both,
      .misfire = Misfire::all,
      .misfire_max = 7,
      .grace = 90s,
      .jitter = 5s,
      .exclusive = Exclusive::queue,
      .anchor = Time(std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)),
      .task = {
          .queue = "slow", .priority = Priority::high, .max_attempts = 2, .backoff = fixed(1s), .timeout = 30s, .tags = {"nightly", "eu"}}};
  CHECK(house.client.put_schedule("nightly", "30 2 * * *", "report", R"({"n": 1})", options) == Put::created);
  CHECK(house.client.put_schedule("nightly", "30 2 * * *", "report", R"({"n": 1})", options) == Put::unchanged);
  options.grace = 2min;
  CHECK(house.client.put_schedule("nightly", "30 2 * * *", "report", R"({"n": 1})", options) == Put::changed);

  REQUIRE(house.client.schedules().size() == 1);
  CHECK(house.client.schedules("other").empty());
  const ScheduleRecord one = house.client.schedules("nightly").front();
  CHECK(one.rule == "30 2 * * *");
  CHECK(one.kind == "report");
  CHECK(one.args == R"({"n": 1})");
  CHECK(one.zone == "Europe/Kyiv");
  CHECK(one.gap == Gap::skip);
  CHECK(one.fold == Fold::both);
  CHECK(one.misfire == Misfire::all);
  CHECK(one.misfire_max == 7);
  CHECK(one.grace == 2min);
  CHECK(one.jitter == 5s);
  CHECK(one.exclusive == Exclusive::queue);
  CHECK(one.anchor == *options.anchor);
  CHECK(one.queue == "slow");
  CHECK(one.priority == Priority::high);
  CHECK(one.max_attempts == 2);
  CHECK(one.timeout == 30s);
  CHECK(one.tags == std::vector<std::string>{"nightly", "eu"});
  CHECK(one.backoff.has_value());
  CHECK(one.next_tick.has_value());
  CHECK_FALSE(one.paused);
  CHECK_FALSE(one.last_tick.has_value());

  house.client.pause_schedule("nightly");
  CHECK(house.client.schedules("nightly").front().paused);
  CHECK_FALSE(house.client.schedules("nightly").front().next_at.has_value());
  CHECK(house.client.resume_schedule("nightly") == one.next_tick);
  const TaskId task = house.client.run_schedule("nightly");
  CHECK(house.client.get(task)->queue == "slow");
  CHECK(house.client.get(task)->tags == one.tags);
  CHECK(house.client.schedules("nightly").front().last_task == task);
  CHECK(house.client.preview_schedule("nightly", {}, 3).size() >= 3);
  CHECK(house.client.past_ticks("nightly").empty());
  house.client.delete_schedule("nightly");
  CHECK(house.client.schedules().empty());
  CHECK(house.client.get(task).has_value());
  CHECK_THROWS_AS(house.client.delete_schedule("nightly"), NotFound);
  CHECK_THROWS_AS((void)house.client.preview_schedule("nightly"), NotFound);
}

TEST_CASE("a preview of a rule that is nobody's") {
  House house;
  const Time from(std::chrono::sys_days(std::chrono::year(2027) / 3 / 27));
  const auto ticks = house.client.preview_rule("30 2 * * *", {.zone = "Europe/Berlin", .gap = Gap::skip}, from, 2);
  REQUIRE(ticks.size() == 3);
  CHECK(ticks[0].at == from + 90min);
  CHECK_FALSE(ticks[1].at.has_value());
  CHECK(ticks[1].local == "Sun 2027-03-28 02:30:00");
  CHECK(ticks[1].note == "dropped: this local time does not exist on this day");
  CHECK(ticks[2].note.empty());
}

TEST_CASE("bad input to a schedule names its field and leaves nothing") {
  House house;
  const auto refused = [&](const char* field, std::string_view name, std::string_view rule, std::string_view kind, std::string_view args,
                           const ScheduleOptions& options = {}) {
    CAPTURE(field);
    try {
      house.client.put_schedule(name, rule, kind, args, options);
      FAIL("nothing was thrown");
    } catch (const InvalidArgument& e) {
      CHECK(e.field() == field);
    }
  };
  const std::string long_name(129, 'n');
  refused("name", "", "* * * * *", "k", "{}");
  refused("name", long_name, "* * * * *", "k", "{}");
  refused("name", "a\xff", "* * * * *", "k", "{}");
  refused("rule", "s", "", "k", "{}");
  refused("rule", "s", "60 * * * *", "k", "{}");
  refused("kind", "s", "* * * * *", "", "{}");
  refused("args", "s", "* * * * *", "k", "[]");
  refused("args", "s", "* * * * *", "k", "{");
  refused("zone", "s", "* * * * *", "k", "{}", {.zone = "Mars/Base"});
  refused("zone", "s", "* * * * *", "k", "{}", {.zone = ""});
  refused("misfire_max", "s", "* * * * *", "k", "{}", {.misfire_max = 0});
  refused("misfire_max", "s", "* * * * *", "k", "{}", {.misfire_max = 101});
  refused("grace", "s", "* * * * *", "k", "{}", {.grace = 999ms});
  refused("grace", "s", "* * * * *", "k", "{}", {.grace = std::chrono::hours(24 * 365 + 1)});
  refused("jitter", "s", "* * * * *", "k", "{}", {.jitter = -1ms});
  refused("jitter", "s", "* * * * *", "k", "{}", {.jitter = 25h});
  refused("queue", "s", "* * * * *", "k", "{}", {.task = {.queue = ""}});
  refused("tags", "s", "* * * * *", "k", "{}", {.task = {.tags = {""}}});
  refused("tenant", "s", "* * * * *", "k", "{}", {.task = {.tenant = "acme"}});
  refused("max_attempts", "s", "* * * * *", "k", "{}", {.task = {.max_attempts = 0}});
  refused("timeout", "s", "* * * * *", "k", "{}", {.task = {.timeout = 0ms}});
  CHECK(house.client.schedules().empty());
  CHECK_THROWS_AS((void)house.client.preview_rule("* * * * *", {}, {}, 0), InvalidArgument);
  CHECK(house.client.put_schedule("s", "* * * * *", "k") == Put::created);
}

TEST_CASE("a schedule is made in the application's own transaction, or not at all") {
  House house;
  pqxx::connection link(house.schema.url());
  const ScheduleOptions options{.task = {.schema = house.schema.name()}};
  {
    pqxx::work tx(link);
    CHECK(put_schedule(tx, "s", "@hourly", "k", "{}", options) == Put::created);
  }
  CHECK(house.client.schedules().empty());
  {
    pqxx::work tx(link);
    CHECK(put_schedule(tx, "s", "@hourly", "k", "{}", options) == Put::created);
    tx.commit();
  }
  CHECK(house.client.schedules().size() == 1);
}

TEST_CASE("a worker makes what it declares, and fires it") {
  House house;
  const auto declare = [](Worker& worker) {
    worker.schedule("reports", "* * * * * *", report, {.day = "{{tick}}"}, {.exclusive = Exclusive::skip});
  };
  std::atomic<int> runs{0};
  auto options = house.options();
  options.queues = {{"slow", 2}};
  Worker worker(options);
  declare(worker);
  CHECK_THROWS_AS(worker.schedule("reports", "* * * * *", "k"), InvalidArgument);
  worker.handle(report, [&](const Report& args, Context&) {
    CHECK(args.day.size() == std::string_view("2026-11-20T12:00:00Z").size());
    ++runs;
  });
  worker.start();
  CHECK_THROWS_AS(worker.schedule("late", "* * * * *", "k"), StateError);
  CHECK(eventually([&] { return runs >= 2; }));
  const auto one = house.client.schedules("reports").front();
  CHECK(one.queue == "slow");
  CHECK(one.max_attempts == 3);
  const auto past = house.client.past_ticks("reports");
  REQUIRE(past.size() >= 2);
  CHECK(past[0].tick - past[1].tick == 1s);
  CHECK(past[0].outcome == TickOutcome::enqueued);
  CHECK(past[0].task.has_value());
  CHECK(worker.stop());
  // It stays when the worker goes, and another one that declares it finds it unchanged.
  Worker heir(options);
  declare(heir);
  heir.handle(report, [&](const Report&, Context&) { ++runs; });
  heir.start();
  CHECK(house.client.schedules("reports").front().anchor == one.anchor);
  heir.stop();
}

TEST_CASE("a declared schedule that is none stops the start") {
  House house;
  Worker worker(house.options());
  worker.schedule("bad", "61 * * * *", "k");
  CHECK_THROWS_WITH_AS(worker.start(), R"(rule has "61" as minute; allowed are 0 to 59)", InvalidArgument);
}

TEST_CASE("an idle worker is told of a new schedule, and one that polls finds it") {
  for (const bool listen : {true, false}) {
    CAPTURE(listen);
    House house;
    auto options = house.options();
    options.poll_interval = listen ? 60s : 200ms;
    options.listen = listen;
    Worker worker(options);
    worker.handle_raw("k", nothing);
    worker.start();
    // It has looked, and found none.
    REQUIRE(eventually([&] { return house.count("workers") > 0; }));
    house.client.put_schedule("s", "* * * * * *", "k");
    CHECK(eventually([&] { return house.count("tasks WHERE status = 'completed'") >= 1; }));
    worker.stop();
    house.consistent();
  }
}
