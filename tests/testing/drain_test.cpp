#include <millrace/testing/drain.hpp>

#include "testing/kinds.hpp"

#include <atomic>
#include <barrier>
#include <mutex>

namespace millrace::test {

using testing::drain;

TEST_CASE("everything that is due, and what comes of it, until nothing is") {
  OnServer db;
  for (int i = 0; i < 20; ++i) send_mail.enqueue(db.client(), {.to = std::to_string(i)});
  send_mail.enqueue(db.client(), {.to = "later"}, {.delay = 1h});
  std::atomic<int> notes{0};
  const auto configure = [&](Worker& worker) {
    worker.handle(send_mail, [](const Mail& mail, Context& context) {
      note_mail.enqueue(context, mail);  // in a queue that nobody served at first
      return mail.to;
    });
    worker.handle(note_mail, [&](const Mail&, Context&) { ++notes; });
  };
  const auto done = drain(db, configure);
  CHECK(done.completed == 40);
  CHECK(notes == 20);
  CHECK(done.failures.empty());
  CHECK(done.text() == "40 completed, 0 retried, 0 failed");
  CHECK(db.value("SELECT count(*) FROM live_workers") == "0");
  CHECK(db.value("SELECT count(*) FROM doctor()") == "0");
  db.clock().advance(1h);
  CHECK(drain(db, configure).completed == 2);
  CHECK(drain(db, configure).completed == 0);
}

TEST_CASE("retries by the test's clock, and failures in words") {
  OnServer db;
  db.clock().freeze();
  const TaskId id = send_mail.enqueue(db.client(), {.to = "ada"}).id;
  const auto broken = [](const Mail&, Context& context) -> std::string {
    throw std::runtime_error("no network at attempt " + std::to_string(context.attempt()));
  };
  auto done = drain(db, send_mail, broken);
  CHECK(done.retried == 1);
  REQUIRE(done.failures.size() == 1);
  CHECK(done.failures[0].id == id);
  CHECK(done.failures[0].message == "no network at attempt 1");
  CHECK(done.failures[0].status == Status::retrying);
  CHECK(drain(db, send_mail, broken).retried == 0);
  db.clock().advance(9min);
  CHECK(drain(db, send_mail, broken).retried == 0);
  db.clock().advance(1min);
  done = drain(db, send_mail, broken);
  CHECK(done.retried == 1);
  CHECK(done.failures.size() == 1);
  CHECK(done.failures[0].attempt == 2);
  db.clock().set(db.next_due().value());
  done = drain(db, send_mail, broken);
  CHECK(done.failed == 1);
  CHECK(done.text() == "0 completed, 0 retried, 1 failed\n  task 1 (send-mail), attempt 3, now failed: no network at attempt 3");
  CHECK_FALSE(db.next_due());
}

TEST_CASE("ticks of schedules by the test's clock") {
  OnServer db;
  db.clock().freeze(Time{std::chrono::sys_days{std::chrono::year{2030} / 3 / 1}});
  std::vector<Time> ticks;
  const auto configure = [&](Worker& worker) {
    worker.handle(note_mail, [&](const Mail&, Context& context) { ticks.push_back(context.scheduled_at()); });
    worker.schedule("nightly", "0 3 * * *", note_mail, {.to = "ops"}, {.zone = "UTC"});
  };
  CHECK(drain(db, configure).completed == 0);
  for (int day = 0; day < 3; ++day) {
    db.clock().advance(24h);
    CHECK(drain(db, configure).completed == 1);
  }
  const Time first{std::chrono::sys_days{std::chrono::year{2030} / 3 / 1} + 3h};
  REQUIRE(ticks.size() == 3);
  CHECK(db.client().past_ticks("nightly").size() == 3);
  CHECK(db.client().past_ticks("nightly").back().tick == first);
}

TEST_CASE("so many threads") {
  OnServer db;
  for (int i = 0; i < 3; ++i) note_mail.enqueue(db.client(), {});
  std::barrier together(3);
  CHECK(drain(db, note_mail, [&](const Mail&, Context&) { together.arrive_and_wait(); }, {.threads = 3}).completed == 3);
  std::mutex alone;
  for (int i = 0; i < 50; ++i) note_mail.enqueue(db.client(), {});
  CHECK(drain(db, note_mail, [&](const Mail&, Context&) {
          CHECK(alone.try_lock());
          alone.unlock();
        }).completed == 50);
  CHECK_THROWS_AS(drain(db, note_mail, [](const Mail&, Context&) {}, {.threads = 0}), InvalidArgument);
  CHECK_THROWS_AS(drain(db, note_mail, [](const Mail&, Context&) {}, {.tasks_max = 0}), InvalidArgument);
}

TEST_CASE("what has no handler is told, and left for who has one") {
  OnServer db;
  send_mail.enqueue(db.client(), {.to = "ada"});
  send_mail.enqueue(db.client(), {.to = "eve"});
  note_mail.enqueue(db.client(), {});
  const auto done = drain(db, note_mail, [](const Mail&, Context&) {});
  CHECK(done.completed == 1);
  CHECK(done.released == 0);
  CHECK(done.unhandled == std::map<std::string, std::int64_t>{{"send-mail", 2}});
  CHECK(holds(done.text(), "no handler for send-mail (2 due)"));
  CHECK(db.value("SELECT count(*) FROM doctor()") == "0");
  const auto task = testing::assert_enqueued(db, send_mail, Mail{.to = "ada"}, {.status = Status::pending}).front();
  CHECK(task.errors.empty());
  CHECK(task.attempt == 0);
  CHECK(drain(db, send_mail, [](const Mail& mail, Context&) { return mail.to; }).completed == 2);
}

TEST_CASE("some queues only, and what is snoozed") {
  OnServer db;
  send_mail.enqueue(db.client(), {});
  note_mail.enqueue(db.client(), {});
  const auto configure = [](Worker& worker) {
    worker.handle(send_mail, [](const Mail&, Context&) -> Outcome<std::string> { return snooze(1h); });
    worker.handle(note_mail, [](const Mail&, Context&) {});
  };
  CHECK(drain(db, configure, {.queues = {"notes"}}).completed == 1);
  const auto done = drain(db, configure);
  CHECK(done.released == 1);
  CHECK(done.completed == 0);
  CHECK(done.text() == "0 completed, 0 retried, 0 failed, 1 given back");
}

TEST_CASE("what a handler cancels is counted") {
  OnServer db;
  send_mail.enqueue(db.client(), {});
  const auto done = drain(db, send_mail, [](const Mail&, Context&) -> Outcome<std::string> { return cancel("nobody wants it"); });
  CHECK(done.text() == "0 completed, 0 retried, 0 failed, 1 cancelled");
}

TEST_CASE("tasks that never end, and a handler that does not") {
  OnServer db;
  send_mail.enqueue(db.client(), {});
  const auto again = [](const Mail& mail, Context& context) {
    send_mail.enqueue(context, mail);
    return mail.to;
  };
  const std::string endless = refusal([&] { drain(db, send_mail, again, {.tasks_max = 30}); });
  CHECK(holds(endless, "drain gave up after "));
  CHECK(holds(endless, "(tasks_max is 30)"));
  CHECK(holds(endless, "still due:\n  1 send-mail in default"));
  db.reset();
  send_mail.enqueue(db.client(), {});
  const auto hang = [](const Mail&, Context& context) -> std::string {
    await_stop(context.stop_token());
    throw std::runtime_error("stopped");
  };
  CHECK(holds(refusal([&] { drain(db, send_mail, hang, {.time_max = 100ms}); }), "100 ms (time_max)"));
}

}  // namespace millrace::test
