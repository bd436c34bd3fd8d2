// An order service. An order and its task are written together or not at all; the task that ships it books the parcel
// exactly once, even if it is run twice. Usage: orders URL [SCHEMA]. It needs `millrace migrate up` first.
#include <millrace/millrace.hpp>

#include <pqxx/pqxx>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

struct Ship {
  int order = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Ship, order)

namespace {

const millrace::Task<Ship> ship{"ship-order", {.max_attempts = 3, .backoff = millrace::fixed(10ms)}};

// Enqueues within the transaction that stores the order.
millrace::TaskId place_order(pqxx::work& tx, const std::string& schema, int order, const std::string& item) {
  tx.exec("INSERT INTO " + schema + ".orders VALUES (" + std::to_string(order) + ", " + tx.quote(item) + ")");
  return ship.enqueue(tx, {.order = order}, {.schema = schema}).id;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: orders URL [SCHEMA]\n";
    return 2;
  }
  const std::string url = argv[1];
  const std::string schema = argc > 2 ? argv[2] : "millrace";
  pqxx::connection db{url};
  {
    pqxx::work tx{db};
    tx.exec("CREATE TABLE " + schema + ".orders (id int PRIMARY KEY, item text)");
    tx.exec("CREATE TABLE " + schema + ".parcels (id serial, order_id int, attempt int)");
    tx.commit();
  }

  millrace::Worker worker{{.database = url, .schema = schema}};
  // The parcel is booked in the handler's own transaction, which also records the task as completed.
  worker.handle(ship, [&](const Ship& args, pqxx::transaction_base& tx, millrace::Context& context) {
    tx.exec("INSERT INTO " + schema + ".parcels (order_id, attempt) VALUES (" + std::to_string(args.order) + ", " +
            std::to_string(context.attempt()) + ")");
    if (context.attempt() == 1) throw std::runtime_error("the printer for labels is out of paper");
  });
  worker.start();

  millrace::TaskId task;
  {
    pqxx::work tx{db};
    task = place_order(tx, schema, 1, "mill wheel");
    tx.commit();
  }
  {
    pqxx::work tx{db};
    place_order(tx, schema, 2, "mill stone");  // not committed: neither the order nor its task will have existed
  }

  millrace::Client client{{.database = url, .schema = schema}};
  const auto ended = client.wait(task, 30s);
  std::cout << "task: " << (ended ? to_string(ended->status) : "not ended") << " at attempt " << (ended ? ended->attempt : 0) << "\n";
  pqxx::work tx{db};
  std::cout << "orders: " << tx.exec("SELECT count(*) FROM " + schema + ".orders")[0][0].as<int>() << ", tasks: " << client.list({}).size()
            << "\n";
  for (const auto& row : tx.exec("SELECT order_id, attempt FROM " + schema + ".parcels"))
    std::cout << "parcel of order " << row[0].as<int>() << ", booked at attempt " << row[1].as<int>() << "\n";
  tx.exec("DROP TABLE " + schema + ".orders, " + schema + ".parcels");
  tx.commit();
  return worker.stop() ? 0 : 1;
}
