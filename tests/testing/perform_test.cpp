#include <millrace/testing/perform.hpp>

#include "testing/kinds.hpp"

#include <pqxx/pqxx>

#include <condition_variable>
#include <mutex>

namespace millrace::test {

using testing::Ending;
using testing::perform;
using testing::perform_raw;

TEST_CASE("a value, with what was said on the way") {
  const auto run = perform(send_mail, {.to = "ada", .copies = 2}, [](const Mail& mail, Context& context) {
    context.progress(1, 2, "halfway");
    context.log("to " + mail.to + "\r\n\nand done");
    context.progress(2, 2);
    return "sent " + std::to_string(mail.copies);
  });
  CHECK(run.ending == Ending::completed);
  CHECK(run.status == Status::completed);
  CHECK(run.value == "sent 2");
  CHECK(run.result == R"("sent 2")");
  REQUIRE(run.progress.size() == 2);
  CHECK(run.progress[0].note == "halfway");
  CHECK(run.progress[1].done == 2);
  CHECK(run.log == std::vector<std::string>{"to ada", "and done"});
  const auto nothing = perform(note_mail, {}, [](const Mail&, Context&) {});
  CHECK(nothing.ending == Ending::completed);
  CHECK(nothing.result.empty());
}

TEST_CASE("every other ending, returned and thrown") {
  const auto run = [](const std::function<Outcome<std::string>()>& said, testing::PerformOptions options = {}) {
    return perform(
        send_mail, {}, [&](const Mail&, Context&) { return said(); }, std::move(options));
  };
  for (const bool thrown : {false, true}) {
    const auto say = [&](auto what) {
      return [thrown, what]() -> Outcome<std::string> {
        if (thrown) throw what;
        return what;
      };
    };
    const auto retried = run(say(retry_in(5s, "busy")));
    CHECK(retried.ending == Ending::retry);
    CHECK(retried.status == Status::retrying);
    CHECK(retried.reason == "busy");
    CHECK(retried.delay == 5s);
    CHECK_FALSE(retried.value);
    CHECK(run(say(retry_in(5s)), {.attempt = 5}).status == Status::failed);
    const auto failed = run(say(fail("no such address")));
    CHECK(failed.ending == Ending::fail);
    CHECK(failed.status == Status::failed);
    CHECK(failed.reason == "no such address");
    const auto snoozed = run(say(snooze(1min)));
    CHECK(snoozed.ending == Ending::snooze);
    CHECK(snoozed.status == Status::scheduled);
    CHECK(snoozed.delay == 1min);
    const auto cancelled = run(say(cancel("the customer is gone")));
    CHECK(cancelled.ending == Ending::cancel);
    CHECK(cancelled.status == Status::cancelled);
    CHECK(cancelled.reason == "the customer is gone");
    const auto erred = run(say(err("busy")));
    CHECK(erred.ending == Ending::error);
    CHECK(erred.reason == "busy");
    CHECK(run(say(snooze(0ms))).status == Status::pending);
    CHECK(run(say(snooze(1min)), {.attempt = 2}).status == Status::retrying);
  }
  const auto broke = run([]() -> Outcome<std::string> { throw std::runtime_error("out of \xff paper"); });
  CHECK(broke.ending == Ending::error);
  CHECK(broke.status == Status::retrying);
  CHECK(broke.reason == "out of \uFFFD paper");
  CHECK(run([]() -> Outcome<std::string> { throw std::runtime_error("x"); }, {.attempt = 3, .max_attempts = 3}).status == Status::failed);
  CHECK(run([]() -> Outcome<std::string> { throw 7; }).reason == "the handler threw something that is no std::exception");
  CHECK(to_string(Ending::snooze) == "snooze");
  const auto ruled = run([]() -> Outcome<std::string> { throw std::out_of_range("gone"); },
                         {.exceptions = ExceptionRules().cancel_on<std::logic_error>()});
  CHECK(ruled.ending == Ending::cancel);
  CHECK(ruled.reason == "gone");
}

namespace {

// what() may be anything a pointer can be.
struct Mute : std::exception {
  [[nodiscard]] const char* what() const noexcept override { return nullptr; }
};
struct Unreadable {};
[[maybe_unused]] void to_json(nlohmann::json& json, const Unreadable&) { json = nlohmann::json::object(); }
void from_json(const nlohmann::json&, Unreadable&) { throw Mute(); }

}  // namespace

TEST_CASE("an exception without a message is said to have none") {
  const auto mute = perform(send_mail, {}, [](const Mail&, Context&) -> std::string { throw Mute(); });
  CHECK(mute.ending == Ending::error);
  CHECK(mute.reason == "an exception without a message");
  const Task<Unreadable> task{"unreadable"};
  const auto unread = perform_raw("unreadable", "{}", task.wrap([](const Unreadable&, Context&) {}));
  CHECK(unread.ending == Ending::fail);
  CHECK(holds(unread.reason, "an exception without a message"));
}

TEST_CASE("args that the handler cannot read, and a result that is no JSON") {
  int calls = 0;
  const auto handler = send_mail.wrap([&](const Mail&, Context&) {
    ++calls;
    return std::string();
  });
  const auto unread = perform_raw("send-mail", R"({"to":7})", handler);
  CHECK(unread.ending == Ending::fail);
  CHECK(holds(unread.reason, "the args cannot be read"));
  CHECK(calls == 0);
  const auto unfit = perform_raw("send-mail", "{}", [](Context&) -> Outcome<std::string> { return std::string("{oops"); });
  CHECK(unfit.ending == Ending::error);
  CHECK(unfit.result.empty());
  CHECK_THROWS_AS(static_cast<void>(perform_raw("", "{}", handler)), InvalidArgument);
  CHECK_THROWS_AS(static_cast<void>(perform_raw("send-mail", "[]", handler)), InvalidArgument);
  CHECK_THROWS_AS(static_cast<void>(perform_raw("send-mail", "{}", handler, {.attempt = 6})), InvalidArgument);
  CHECK_THROWS_AS(static_cast<void>(perform_raw("send-mail", "{}", handler, {.timeout = 0ms})), InvalidArgument);
}

TEST_CASE("what the handler sees of its run is what it is given") {
  const Time due{std::chrono::sys_days{std::chrono::year{2030} / 1 / 1}};
  testing::PerformOptions options{
      .id = {42}, .queue = "mail", .attempt = 2, .max_attempts = 4, .lease = {9}, .worker_id = "w", .scheduled_at = due};
  options.correlation = "c";
  options.tenant = "t";
  options.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  options.metadata = {{"a", "b"}};
  const auto run = perform(
      note_mail, {.to = "ada"},
      [&](const Mail&, Context& context) {
        CHECK(context.task_id() == TaskId{42});
        CHECK(context.kind() == "note-mail");
        CHECK(context.queue() == "mail");
        CHECK(context.attempt() == 2);
        CHECK(context.max_attempts() == 4);
        CHECK(context.lease() == LeaseId{9});
        CHECK(context.worker_id() == "w");
        CHECK(context.scheduled_at() == due);
        CHECK(context.started_at() > due - std::chrono::days(36500));
        CHECK(context.correlation() == "c");
        CHECK(context.tenant() == "t");
        CHECK(context.metadata() == std::map<std::string, std::string>{{"a", "b"}});
        CHECK_FALSE(context.timeout());
        CHECK_FALSE(context.stop_token().stop_requested());
        CHECK_THROWS_AS(context.progress(-1), InvalidArgument);
      },
      options);
  CHECK(run.ending == Ending::completed);
}

TEST_CASE("what it enqueues is kept, with what it inherits, and refused as ever") {
  const auto run =
      perform(send_mail, {.to = "ada"},
              [](const Mail& mail, Context& context) {
                CHECK(note_mail.enqueue(context, {.to = mail.to}).status == Status::pending);
                CHECK(note_mail.enqueue(context, {.to = "eve"}, {.delay = 1h, .correlation = "own"}).status == Status::scheduled);
                CHECK_THROWS_AS(context.enqueue("x", "[]"), InvalidArgument);
                CHECK_THROWS_AS(context.enqueue("x", "{}", {.delay = -1ms}), InvalidArgument);
                return "";
              },
              {.correlation = "order 7"});
  REQUIRE(run.sent.size() == 2);
  CHECK(run.sent[0].options.correlation == "order 7");
  CHECK(run.sent[0].options.queue == "notes");
  CHECK(run.sent[1].options.correlation == "own");
  CHECK(run.sent[0].id != run.sent[1].id);
  REQUIRE(run.sent_of(note_mail).size() == 2);
  CHECK(run.sent_of(note_mail)[1].to == "eve");
  CHECK(run.sent_of(send_mail).empty());
}

TEST_CASE("a stop before, a stop from outside, and a stop at the deadline") {
  const auto obey = [](const Mail&, Context& context) -> std::string {
    std::mutex mutex;
    std::condition_variable_any bell;
    std::unique_lock lock(mutex);
    bell.wait(lock, context.stop_token(), [] { return false; });
    throw std::runtime_error("stopped");
  };
  CHECK(perform(send_mail, {}, obey, {.stop_requested = true}).reason == "stopped");
  std::stop_source outside;
  std::jthread later([&] { outside.request_stop(); });
  CHECK(perform(send_mail, {}, obey, {.stop = outside.get_token()}).reason == "stopped");
  const auto late = perform(send_mail, {}, obey, {.timeout = 20ms});
  CHECK(late.ending == Ending::error);
  CHECK(late.reason == "timed out after 20 ms: stopped");
}

TEST_CASE("a transaction needs a database, and takes place if the run completes") {
  const auto insert = [](const Mail& mail, pqxx::transaction_base& tx, Context& context) {
    tx.exec("INSERT INTO public.sent VALUES ('" + mail.to + "')");
    note_mail.enqueue(context, tx, {.to = mail.to});
    if (mail.copies == 0) throw std::runtime_error("no copies");
    return mail.to;
  };
  const auto without = perform(send_mail, {.to = "ada"}, insert);
  CHECK(without.ending == Ending::error);
  CHECK(without.reason == "context.transaction() needs a database: give perform() one in PerformOptions::database");
  Database db{{.schema = "other", .server = database_url()}};
  db.exec("CREATE TABLE sent (who text)");
  CHECK(perform(send_mail, {.to = "ada"}, insert, {.database = &db}).value == "ada");
  CHECK(perform(send_mail, {.to = "eve", .copies = 0}, insert, {.database = &db}).ending == Ending::error);
  CHECK(db.rows("SELECT who FROM sent") == std::vector<std::vector<std::string>>{{"ada"}});
  CHECK(db.value("SELECT string_agg(kind, ',') FROM tasks") == "note-mail");
  db.exec("ALTER TABLE sent ADD CONSTRAINT late UNIQUE (who) DEFERRABLE INITIALLY DEFERRED");
  const auto refused = perform(send_mail, {.to = "ada"}, insert, {.database = &db});
  CHECK(refused.ending == Ending::error);
  CHECK_FALSE(refused.value);
  CHECK(holds(refused.reason, "the handler's transaction was not committed"));
}

}  // namespace millrace::test
