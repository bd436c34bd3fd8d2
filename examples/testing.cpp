// The tests of a shop: what docs/testing.md shows, without a test framework. Usage: testing [URL]. Without a URL it starts a
// PostgreSQL of its own.
#include <millrace/millrace.hpp>
#include <millrace/testing.hpp>

#include <pqxx/pqxx>

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;
using namespace millrace::testing;
using millrace::Context;
using millrace::Worker;

// --- the program under test ---

struct Ship {
  int order = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Ship, order)
struct Mail {
  std::string to{};
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Mail, to)

namespace {

const millrace::Task<Mail, std::string> send_mail{"send-mail", {.max_attempts = 3, .backoff = millrace::fixed(10min)}};
const millrace::Task<Ship> ship{"ship-order"};

void place_order(pqxx::transaction_base& tx, int order) {
  tx.exec("INSERT INTO orders VALUES (" + std::to_string(order) + ")");
  ship.enqueue(tx, {.order = order});
}

void ship_order(const Ship& args, pqxx::transaction_base& tx, Context& context) {
  tx.exec("INSERT INTO parcels VALUES (" + std::to_string(args.order) + ")");
  send_mail.enqueue(context, tx, {.to = "customer of " + std::to_string(args.order)});
}

bool network_is_down = false;

millrace::Outcome<std::string> mail_out(const Mail& mail, Context& context) {
  if (mail.to.empty()) return millrace::fail("nobody to send it to");
  if (network_is_down) throw std::runtime_error("no network");
  context.log("sent to " + mail.to);
  return std::string("message 1");
}

// --- its tests ---

void expect(bool holds, const char* what) {
  if (!holds) throw AssertionFailed(what);
}

// [perform]
void test_a_handler_by_itself() {
  const auto sent = perform(send_mail, {.to = "ada"}, mail_out);
  expect(sent.value == "message 1", "it returns the message's id");
  expect(sent.log.at(0) == "sent to ada", "it says so");

  const auto refused = perform(send_mail, {.to = ""}, mail_out);
  expect(refused.ending == Ending::fail && refused.reason == "nobody to send it to", "it gives up at once");

  network_is_down = true;
  const auto last = perform(send_mail, {.to = "ada"}, mail_out, {.attempt = 3, .max_attempts = 3});
  network_is_down = false;
  expect(last.ending == Ending::error && last.status == millrace::Status::failed, "the last attempt makes it a dead letter");
}
// [perform]

// [enqueued]
void test_an_order_and_its_task(Database& db) {
  pqxx::connection link{db.url()};
  pqxx::work tx{link};
  place_order(tx, 7);
  assert_enqueued(tx, ship, Ship{.order = 7}, {.count = 1});
  refute_enqueued(tx, send_mail);
  tx.commit();
  assert_enqueued(db, ship, [](const Ship& args) { return args.order > 5; }, {.status = millrace::Status::pending});
}
// [enqueued]

void handlers(Worker& worker) {
  worker.handle(ship, ship_order);
  worker.handle(send_mail, mail_out);
}

// [drain]
void test_all_of_it(Database& db) {
  ship.enqueue(db.client(), {.order = 1});
  const Drained done = drain(db, handlers);  // the order's task, and the mail that it leads to
  expect(done.completed == 2 && done.failures.empty(), "both ran");
  assert_enqueued(db, send_mail, Mail{.to = "customer of 1"}, {.status = millrace::Status::completed});
}
// [drain]

// [clock]
void test_a_retry(Database& db) {
  send_mail.enqueue(db.client(), {.to = "ada"});
  network_is_down = true;
  std::cout << drain(db, handlers).text() << '\n';
  network_is_down = false;
  expect(drain(db, handlers).completed == 0, "it waits for its time");
  db.clock().advance(12min);
  expect(drain(db, handlers).completed == 1, "and then runs again");
}
// [clock]

// [faults]
void test_a_worker_that_dies(Database& db) {
  ship.enqueue(db.client(), {.order = 1});
  Faults faults{db};
  faults.repeat(ship.kind()).cut_commit(ship.kind());
  drain(db, [&](Worker& worker) {
    faults.handle(worker, ship, ship_order);
    worker.handle(send_mail, mail_out);
  });
  expect(faults.struck() == 2, "it died once, and the next time its commit was not answered");
  expect(db.value("SELECT count(*) FROM parcels") == "1", "one parcel all the same");
  assert_enqueued(db, send_mail, Mail{.to = "customer of 1"}, {.count = 1});
}
// [faults]

void test_what_a_failure_looks_like(Database& db) {
  ship.enqueue(db.client(), {.order = 1});
  db.clock().freeze(millrace::Time{std::chrono::sys_days{std::chrono::year{2030} / 1 / 1}});
  ship.enqueue(db.client(), {.order = 2});
  db.client().cancel({1});
  try {
    assert_enqueued(db, ship, Ship{.order = 3});
  } catch (const AssertionFailed& e) {
    const std::string text = e.what();
    std::cout << text.substr(0, text.find('\n')) << '\n' << text.substr(text.rfind('\n') + 1) << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    test_a_handler_by_itself();
    // [database]
    Database db{{.server = argc > 1 ? argv[1] : ""}};  // `Database db;` starts a private PostgreSQL
    db.exec("CREATE TABLE orders (id int); CREATE TABLE parcels (order_id int)");
    for (const auto test :
         {test_an_order_and_its_task, test_all_of_it, test_a_retry, test_a_worker_that_dies, test_what_a_failure_looks_like}) {
      db.reset({"orders", "parcels"});
      test(db);
    }
    // [database]
    std::cout << "all tests passed\n";
    return 0;
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
