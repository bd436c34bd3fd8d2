// Rule 10: a handler's own writes and its task's completion happen once, together, or not at all.
#include "worker/house.hpp"

#include <fmt/format.h>
#include <pqxx/pqxx>

using namespace millrace;
using namespace millrace::test;

namespace {

struct Payment {
  int amount = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Payment, amount)

const Task<Payment, int> pay{"pay", {.max_attempts = 3, .backoff = fixed(0s)}};

// The house with a table of the application's own.
struct Shop : House {
  Shop() { schema.connection().script("CREATE TABLE " + table() + " (task bigint, amount integer)"); }
  [[nodiscard]] std::string table() const { return schema.quoted() + ".payments"; }
  void write(pqxx::transaction_base& tx, const Context& context, int amount) const {
    tx.exec(fmt::format("INSERT INTO {} VALUES ({}, {})", table(), context.task_id().value, amount));
  }
};

}  // namespace

TEST_CASE("rule 10: the handler's writes and the completion are one transaction") {
  Shop shop;
  Worker worker(shop.options());
  worker.handle(pay, [&](const Payment& payment, pqxx::transaction_base& tx, Context& context) {
    shop.write(tx, context, payment.amount);
    return payment.amount * 2;
  });
  worker.start();
  const auto id = pay.enqueue(shop.client, {.amount = 21}).id;
  CHECK(shop.reaches(id, Status::completed));
  CHECK(shop.client.get(id)->result == "42");
  const auto writer = [&](const char* table) { return shop.schema.value(fmt::format("SELECT xmin FROM {}", table)); };
  CHECK(writer("payments") == writer("tasks"));
  CHECK(eventually([&] { return worker.counts().completed == 1; }));
  worker.stop();
  shop.consistent();
}

TEST_CASE("rule 10: whatever else a handler says, its writes are rolled back") {
  Shop shop;
  Worker worker(shop.options());
  worker.handle(pay, [&](const Payment& payment, Context& context) -> Outcome<int> {
    shop.write(context.transaction(), context, payment.amount);
    switch (context.attempt()) {
      case 1: throw std::runtime_error("no");
      case 2: {
        // A handler that swallows an SQL error cannot complete: its transaction is aborted.
        CHECK_THROWS(context.transaction().exec("SELECT 1 / 0"));
        return 1;
      }
      default: return fail("never");
    }
  });
  worker.start();
  const auto id = pay.enqueue(shop.client, {.amount = 1}).id;
  CHECK(shop.reaches(id, Status::failed));
  CHECK(shop.count("payments") == 0);
  const auto record = shop.client.get(id);
  CHECK(record->attempt == 3);
  REQUIRE(record->errors.size() == 3);
  CHECK(record->errors[1].message.find("aborted") != std::string::npos);
  worker.stop();
  shop.consistent();
}

TEST_CASE("rule 10: a zombie's transaction aborts") {
  Shop shop;
  auto options = shop.options();
  options.heartbeat = 1s;
  Worker worker(options);
  std::atomic<bool> rescued{false};
  worker.handle(pay, [&](const Payment& payment, pqxx::transaction_base& tx, Context& context) {
    shop.write(tx, context, payment.amount);
    if (context.attempt() == 1 && !rescued) {
      // Another worker takes this one for dead, as after a long pause, while the handler holds no lock that stops it.
      Session other(shop.schema);
      other.run("DELETE FROM worker_sessions");
      other.run("UPDATE workers SET seen_at = now() - interval '1 hour'");
      other.run("SELECT rescue()");
      CHECK(other.run(fmt::format("SELECT status FROM tasks WHERE id = {}", context.task_id().value)).text(0, 0) == "retrying");
      rescued = true;
    }
    return payment.amount;
  });
  worker.start();
  const auto id = pay.enqueue(shop.client, {.amount = 5}).id;
  CHECK(shop.reaches(id, Status::completed));
  CHECK(rescued);
  CHECK(eventually([&] { return worker.counts().lost == 1; }));
  CHECK(shop.count("payments") == 1);
  worker.stop();
  shop.consistent();
}

TEST_CASE("rule 10: a connection that breaks while it commits leaves one payment") {
  Shop shop;
  // The first commit ends its own session: before anything is committed, and without an answer.
  shop.schema.connection().script(
      fmt::format("CREATE SEQUENCE {0}.commits; CREATE FUNCTION {0}.cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                  " IF nextval('{0}.commits') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END $$;"
                  "CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON {1} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {0}.cut()",
                  shop.schema.quoted(), shop.table()));
  Worker worker(shop.options());
  worker.handle(pay, [&](const Payment& payment, pqxx::transaction_base& tx, Context& context) {
    shop.write(tx, context, payment.amount);
    return payment.amount;
  });
  worker.start();
  const auto id = pay.enqueue(shop.client, {.amount = 5}).id;
  CHECK(shop.reaches(id, Status::completed));
  CHECK(shop.client.get(id)->attempt == 2);
  CHECK(shop.count("payments") == 1);
  worker.stop();
  shop.consistent();
}

TEST_CASE("a handler's statement is cut off at its task's timeout") {
  Shop shop;
  Worker worker(shop.options());
  worker.handle(pay, [&](const Payment&, pqxx::transaction_base& tx, Context&) {
    tx.exec("SELECT pg_sleep(60)");
    return 0;
  });
  worker.start();
  const auto id = pay.enqueue(shop.client, {.amount = 1}, {.max_attempts = 1, .timeout = 200ms}).id;
  CHECK(shop.reaches(id, Status::failed));
  worker.stop();
  shop.consistent();
}
