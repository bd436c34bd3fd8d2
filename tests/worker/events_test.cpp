// What a worker tells its program.
#include "worker/house.hpp"
#include "worker/paper.hpp"

#include <spdlog/details/null_mutex.h>

#include <future>

using namespace millrace;
using namespace millrace::test;

namespace {

// Everything that was told, in its order.
class Diary {
 public:
  void write(const TaskEvent& event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  Listener listener() {
    return [this](const TaskEvent& event) { write(event); };
  }
  void listen(Worker& worker) {
    for (const Event event : {Event::started, Event::completed, Event::failed, Event::retrying, Event::cancelled, Event::dead})
      worker.on(event, listener());
  }
  std::vector<TaskEvent> of(TaskId id) {
    const std::lock_guard lock(mutex_);
    std::vector<TaskEvent> some;
    for (const TaskEvent& event : events_) {
      if (event.id == id) some.push_back(event);
    }
    return some;
  }
  std::string story(TaskId id) {
    std::string names;
    for (const TaskEvent& event : of(id)) names += (names.empty() ? "" : " ") + std::string(to_string(event.event));
    return names;
  }
  bool tells(TaskId id, const std::string& wanted) {
    const bool told = eventually([&] { return story(id) == wanted; }, 20s);
    if (!told) MESSAGE("told: " << story(id));
    return told;
  }

 private:
  std::mutex mutex_;
  std::vector<TaskEvent> events_;
};

// Called with each line that is logged, on the thread that logs it.
class Hook final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit Hook(std::function<void(std::string_view)> on_line) : on_line_(std::move(on_line)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override { on_line_({message.payload.data(), message.payload.size()}); }
  void flush_() override {}

 private:
  std::function<void(std::string_view)> on_line_;
};

}  // namespace

TEST_CASE("a run that completes is told as started and completed, with what was said at enqueue") {
  House house;
  Diary diary;
  Worker worker(house.options());
  diary.listen(worker);
  worker.on(Event::completed, [&](const TaskEvent& event) { CHECK(house.status(event.id) == Status::completed); });
  worker.handle_raw("fine", nothing);
  worker.start();
  const auto id = house.client
                      .enqueue("fine", "{}",
                               {.max_attempts = 3,
                                .correlation = "order-7",
                                .tenant = "acme",
                                .metadata = {{"colour", "green"}},
                                .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
                      .id;
  REQUIRE(diary.tells(id, "started completed"));
  for (const TaskEvent& event : diary.of(id)) {
    CHECK(event.kind == "fine");
    CHECK(event.queue == "default");
    CHECK(event.attempt == 1);
    CHECK(event.max_attempts == 3);
    CHECK(event.correlation == "order-7");
    CHECK(event.tenant == "acme");
    CHECK(event.metadata.at("colour") == "green");
    CHECK(event.traceparent.has_value());
    CHECK(event.error.empty());
    CHECK_FALSE(event.next_run.has_value());
    CHECK(event.at > house.client.get(id)->created_at - 1h);
  }
  CHECK_FALSE(diary.of(id)[0].duration.has_value());
  CHECK(diary.of(id)[1].duration.has_value());
  CHECK(worker.stop());
  CHECK(worker.counts().events_dropped == 0);
}

TEST_CASE("how a run ended is told before the next one of its task begins") {
  House house;
  Diary diary;
  std::atomic<int> runs{0};
  auto options = house.options();
  options.poll_interval = 10ms;
  // The failure is on record when it is logged. Who records it is held up there until the task runs again.
  options.logger = std::make_shared<spdlog::logger>("test", std::make_shared<Hook>([&](std::string_view line) {
                                                      if (line.find("will be retried") == std::string_view::npos) return;
                                                      CHECK(eventually([&] { return runs == 2; }));
                                                    }));
  Worker worker(options);
  diary.listen(worker);
  worker.handle_raw("moody", [&](Context&) -> Outcome<std::string> {
    ++runs;
    return retry_in(0ms);
  });
  worker.start();
  const auto id = house.client.enqueue("moody", "{}", {.max_attempts = 2}).id;
  CHECK(diary.tells(id, "started failed retrying started failed dead"));
  CHECK(worker.stop());
}

TEST_CASE("a failed attempt is told as failed and retrying, and the last one as failed and dead") {
  House house;
  Diary diary;
  Worker worker(house.options());
  diary.listen(worker);
  worker.handle_raw("moody", [](Context&) -> Outcome<std::string> { throw std::runtime_error("no paper"); });
  worker.handle_raw("hopeless", [](Context&) -> Outcome<std::string> { return Fail{"no printer"}; });
  worker.start();
  const auto id = house.client.enqueue("moody", "{}", {.max_attempts = 2, .backoff = millrace::fixed(1ms)}).id;
  REQUIRE(diary.tells(id, "started failed retrying started failed dead"));
  const auto events = diary.of(id);
  CHECK(events[1].error == "no paper");
  CHECK(events[1].attempt == 1);
  CHECK(events[1].duration.has_value());
  CHECK(events[2].error == "no paper");
  REQUIRE(events[2].next_run.has_value());
  CHECK(*events[2].next_run > house.client.get(id)->created_at);
  CHECK_FALSE(events[1].next_run.has_value());
  CHECK(events[5].attempt == 2);
  CHECK(events[5].error == "no paper");
  const auto hopeless = house.client.enqueue("hopeless").id;
  REQUIRE(diary.tells(hopeless, "started failed dead"));
  CHECK(diary.of(hopeless)[2].error == "no printer");
}

TEST_CASE("a run that is cancelled is told as failed and cancelled, or as cancelled alone if it only gave the task back") {
  House house;
  Diary diary;
  Worker worker(house.options());
  diary.listen(worker);
  const auto until_stopped = [](Context& context) { await_stop(context.stop_token()); };
  worker.handle_raw("throws", [&](Context& context) -> Outcome<std::string> {
    until_stopped(context);
    throw std::runtime_error("stopped");
  });
  worker.handle_raw("snoozes", [&](Context& context) -> Outcome<std::string> {
    until_stopped(context);
    return Snooze{1h};
  });
  worker.start();
  const auto throws = house.client.enqueue("throws").id;
  const auto snoozes = house.client.enqueue("snoozes").id;
  REQUIRE(diary.tells(throws, "started"));
  REQUIRE(diary.tells(snoozes, "started"));
  CHECK(house.client.cancel(throws) == Status::running);
  CHECK(house.client.cancel(snoozes) == Status::running);
  REQUIRE(diary.tells(throws, "started failed cancelled"));
  CHECK(diary.of(throws)[2].error == "stopped because it was cancelled: stopped");
  REQUIRE(diary.tells(snoozes, "started cancelled"));
  CHECK(diary.of(snoozes)[1].error.empty());
  CHECK(diary.of(snoozes)[1].duration.has_value());
  CHECK(house.status(snoozes) == Status::cancelled);
}

TEST_CASE("a handler's own transaction is told when it is committed, and a given back task is not told") {
  House house;
  Diary diary;
  Worker worker(house.options());
  diary.listen(worker);
  worker.handle_raw("exact", [](Context& context) -> Outcome<std::string> {
    static_cast<void>(context.transaction());
    return std::string("1");
  });
  worker.handle_raw("later", [](Context&) -> Outcome<std::string> { return Snooze{1h}; });
  worker.start();
  const auto exact = house.client.enqueue("exact").id;
  const auto later = house.client.enqueue("later").id;
  REQUIRE(diary.tells(exact, "started completed"));
  REQUIRE(house.reaches(later, Status::scheduled));
  CHECK(worker.stop());
  CHECK(diary.story(later) == "started");
}

TEST_CASE("what a listener throws is logged, and neither the task nor another listener notices") {
  House house;
  Diary diary;
  Paper paper;
  WorkerOptions options = house.options();
  options.logger = paper.logger();
  Worker worker(options);
  worker.on(Event::completed, [](const TaskEvent&) { throw std::runtime_error("listener on fire"); });
  worker.on(Event::completed, [](const TaskEvent&) { throw 7; });
  worker.on(Event::completed, diary.listener());
  worker.handle_raw("fine", nothing);
  worker.start();
  const auto id = house.client.enqueue("fine").id;
  REQUIRE(diary.tells(id, "completed"));
  CHECK(house.status(id) == Status::completed);
  CHECK(house.client.get(id)->errors.empty());
  CHECK(worker.stop());
  CHECK(worker.counts().completed == 1);
  CHECK(paper.has("listener on fire"));
  CHECK(paper.has("something that is no std::exception"));
}

TEST_CASE("a slow listener holds up no settlement; when 10,000 events wait the oldest are dropped and counted") {
  House house;
  Paper paper;
  WorkerOptions options = house.options();
  options.logger = paper.logger();
  options.stop_patience = 20s;
  Worker worker(options);
  std::promise<void> gate;
  const auto open = gate.get_future().share();
  std::atomic<int> told{0};
  std::atomic<std::int64_t> last{0};
  worker.on(Event::completed, [&, open](const TaskEvent& event) {
    open.wait();
    last = event.id.value;
    ++told;
  });
  worker.handle_raw("fine", nothing);
  worker.start();
  constexpr int tasks = 10'500;
  const auto ids = house.client.enqueue_many("fine", std::vector<std::string>(tasks, "{}"));
  // The listener stands still, and every end is recorded nevertheless.
  REQUIRE(eventually([&] { return worker.counts().completed == tasks; }, 60s));
  REQUIRE(eventually([&] { return worker.counts().events_dropped >= tasks - 10'001; }));
  CHECK(told == 0);
  gate.set_value();
  CHECK(worker.stop());
  CHECK(told + worker.counts().events_dropped == tasks);
  CHECK(told >= 10'000);
  CHECK(paper.has("listeners are too slow"));
}

TEST_CASE("stop waits for what is left to be told, but not for ever") {
  House house;
  Worker worker(house.options());
  std::promise<void> gate, called, over;
  const auto open = gate.get_future().share();
  worker.on(Event::completed, [&, open](const TaskEvent&) {
    called.set_value();
    open.wait();
    over.set_value();
  });
  worker.handle_raw("fine", nothing);
  worker.start();
  const auto id = house.client.enqueue("fine").id;
  called.get_future().wait();
  CHECK_FALSE(worker.stop());
  CHECK(house.status(id) == Status::completed);
  CHECK(house.count("workers") == 0);
  gate.set_value();
  over.get_future().wait();
}

TEST_CASE("listeners are added before the start, and are not empty") {
  House house;
  Worker worker(house.options());
  CHECK_THROWS_AS(worker.on(Event::dead, {}), InvalidArgument);
  worker.handle_raw("fine", nothing);
  worker.start();
  CHECK_THROWS_AS(worker.on(Event::dead, [](const TaskEvent&) {}), StateError);
}
