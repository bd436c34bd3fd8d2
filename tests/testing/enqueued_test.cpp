#include <millrace/testing/enqueued.hpp>

#include "testing/kinds.hpp"

#include <pqxx/pqxx>

namespace millrace::test {

using testing::assert_enqueued;
using testing::enqueued;
using testing::refute_enqueued;
using testing::Wanted;

TEST_CASE("found by args, by a predicate, and by everything else") {
  OnServer db;
  Client& client = db.client();
  send_mail.enqueue(client, {.to = "ada"},
                    {.priority = Priority::high, .timeout = 30s, .tenant = "t1", .tags = {"a", "b"}, .metadata = {{"x", "y"}}});
  send_mail.enqueue(client, {.to = "eve", .copies = 3}, {.delay = 2h, .correlation = "c1"});
  client.enqueue("other", R"({"deep":{"x":1,"y":[1,2]},"z":null})");
  CHECK(enqueued(db, send_mail).size() == 2);
  CHECK(enqueued(db, send_mail, Mail{.to = "ada"}).size() == 1);
  CHECK(enqueued(db, send_mail, Mail{.to = "ada", .copies = 2}).empty());
  CHECK(enqueued(db, send_mail, [](const Mail& mail) { return mail.copies > 1; }).front().correlation == "c1");
  CHECK(enqueued(db, "send-mail", {.args = R"({"to":"ada"})"}).size() == 1);
  CHECK(enqueued(db, "other", {.args = R"({"deep":{"x":1}})"}).size() == 1);
  CHECK(enqueued(db, "other", {.args = R"({"deep":{"x":2}})"}).empty());
  CHECK(enqueued(db, "other", {.args = R"({"deep":{"y":[1]}})"}).empty());
  CHECK(enqueued(db, "other", {.args = R"({"z":null})"}).size() == 1);
  CHECK(enqueued(db, "other", {.args = R"({"q":null})"}).empty());
  CHECK_THROWS_AS(static_cast<void>(enqueued(db, "other", {.args = "[]"})), InvalidArgument);
  CHECK(enqueued(db, send_mail, testing::Any{}, {.priority = Priority::high}).size() == 1);
  CHECK(enqueued(db, "send-mail", {.tags = {"b"}}).size() == 1);
  CHECK(enqueued(db, "send-mail", {.tags = {"b", "c"}}).empty());
  CHECK(enqueued(db, "send-mail", {.tenant = "t1"}).size() == 1);
  CHECK(enqueued(db, "send-mail", {.status = Status::scheduled, .correlation = "c1"}).size() == 1);
  CHECK(enqueued(db, "send-mail", {.queue = "other"}).empty());
  const Time now = db.clock().now();
  CHECK(enqueued(db, "send-mail", {.run_from = now + 1h, .run_until = now + 3h}).size() == 1);
  CHECK(enqueued(db, "send-mail", {.run_until = now + 1h}).size() == 1);
  const auto task = enqueued(db, send_mail, Mail{.to = "ada"}).front();
  const auto same = client.get(task.id).value();
  CHECK(task.args == same.args);
  CHECK(task.run_at == same.run_at);
  CHECK(task.created_at == same.created_at);
  CHECK(task.timeout == 30s);
  CHECK(task.backoff.has_value() == same.backoff.has_value());
  CHECK(task.metadata == same.metadata);
  CHECK(task.tags == same.tags);
  CHECK(task.max_attempts == 3);
}

TEST_CASE("a record that has ended is the client's") {
  OnServer db;
  const TaskId id = send_mail.enqueue(db.client(), {.to = "ada"}).id;
  testing::drain(db, send_mail, [](const Mail&, Context& context) -> std::string {
    if (context.attempt() == 1) throw retry_in(0ms, "again");
    return "sent";
  });
  const auto task = assert_enqueued(db, send_mail, Mail{.to = "ada"}, {.status = Status::completed}).front();
  const auto same = db.client().get(id).value();
  CHECK(task.id == id);
  CHECK(task.result == R"("sent")");
  CHECK(task.started_at == same.started_at);
  CHECK(task.finished_at == same.finished_at);
  CHECK(task.lease == same.lease);
  CHECK(task.worker == same.worker);
  REQUIRE(task.errors.size() == 1);
  CHECK(task.errors[0].message == "again");
  CHECK(task.errors[0].at == same.errors[0].at);
  CHECK(task.errors[0].worker == same.errors[0].worker);
  refute_enqueued(db, send_mail, testing::Any{}, {.status = Status::pending});
}

TEST_CASE("from a client with many tasks, and from a transaction before it commits") {
  OnServer db;
  const std::vector<std::string> many(2001, "{}");
  db.client().enqueue_many("work", many);
  const auto all = enqueued(db.client(), "work");
  CHECK(all.size() == 2001);
  CHECK(all.front().id < all.back().id);
  pqxx::connection link{db.url()};
  {
    pqxx::work tx{link};
    send_mail.enqueue(tx, {.to = "ada"});
    assert_enqueued(tx, send_mail, Mail{.to = "ada"}, {.count = 1});
    refute_enqueued(db, send_mail);
  }
  pqxx::work tx{link};
  refute_enqueued(tx, send_mail);
}

TEST_CASE("what does not hold says what is there") {
  OnServer db;
  CHECK(refusal([&] { assert_enqueued(db, "work"); }) == "wanted a task of kind work, but found none; there are no tasks at all");
  db.clock().freeze(Time{std::chrono::sys_days{std::chrono::year{2030} / 1 / 1}});
  db.client().enqueue("work", R"({"n":1})", {.queue = "slow", .priority = Priority::low, .tags = {"x"}});
  send_mail.enqueue(db.client(), {.to = "eve"});
  CHECK(refusal([&] { assert_enqueued(db, send_mail, Mail{.to = "ada"}, {.queue = "fast"}); }) ==
        "wanted a task of kind send-mail, args {\"copies\":1,\"to\":\"ada\"}, queue fast, but found none; there are 2 tasks:\n"
        "  2 send-mail pending in default, due 2030-01-01T00:00:00.000000Z: {\"to\": \"eve\", \"copies\": 1}\n"
        "  1 work pending in slow, due 2030-01-01T00:00:00.000000Z, priority 25, tag x: {\"n\": 1}");
  CHECK(holds(refusal([&] { assert_enqueued(db, "work", {.count = 2}); }), "wanted 2 tasks of kind work, but found 1; there are 2 tasks:"));
  CHECK(holds(refusal([&] { refute_enqueued(db, send_mail, [](const Mail& mail) { return mail.to == "eve"; }); }),
              "wanted no task of kind send-mail, args that fit; there is 1 task:\n  2 send-mail"));
  CHECK(refusal([&] { assert_enqueued(db, "work", {.count = 1}); }).empty());
  CHECK(refusal([&] { assert_enqueued(db, "none", {.count = 0}); }).empty());
  for (int i = 0; i < 30; ++i) db.client().enqueue("work");
  CHECK(holds(refusal([&] { assert_enqueued(db, "none"); }), "… and 12 more"));
}

}  // namespace millrace::test
