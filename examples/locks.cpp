// A nightly close of the books that only one instance may do at a time. What it writes is fenced: an instance that was
// away while another took over cannot write any more. Usage: locks URL [SCHEMA]. It needs `millrace migrate up` first.
#include <millrace/millrace.hpp>

#include <pqxx/pqxx>

#include <chrono>
#include <iostream>
#include <string>
#include <thread>

using namespace std::chrono_literals;

namespace {

// Writes only if the lock is still ours, and nobody else gets it before this is committed.
void close_day(const std::string& url, const std::string& schema, millrace::LockToken token, int day, const std::string& who) {
  pqxx::connection db{url};
  pqxx::work tx{db};
  millrace::assert_lock(tx, "books", token, schema);
  tx.exec("INSERT INTO " + schema + ".closed_days VALUES (" + std::to_string(day) + ", " + tx.quote(who) + ")");
  tx.commit();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: locks URL [SCHEMA]\n";
    return 2;
  }
  const std::string url = argv[1];
  const std::string schema = argc > 2 ? argv[2] : "millrace";
  pqxx::connection db{url};
  pqxx::nontransaction setup{db};
  setup.exec("CREATE TABLE " + schema + ".closed_days (day int PRIMARY KEY, who text)");
  const millrace::ClientOptions database{.database = url, .schema = schema};

  // Held, and extended three times per ttl, until it goes out of scope.
  auto north = millrace::Lock::acquire(database, "books", {.owner = "north", .ttl = 3s});
  if (!north) return 1;
  close_day(url, schema, north->token(), 1, north->owner());
  std::cout << "south gets it meanwhile: " << (millrace::Lock::acquire(database, "books", {.owner = "south"}) ? "yes" : "no") << "\n";

  // Somebody takes it from north, as its expiry would if north were cut off from the database.
  millrace::Client client{database};
  std::cout << "holder: " << client.lock_holder("books")->owner << "\n";
  client.release_lock("books", north->token());
  const auto south = millrace::Lock::acquire(database, "books", {.owner = "south", .wait = 10s});
  if (!south) return 1;
  close_day(url, schema, south->token(), 2, south->owner());
  std::cout << "south's token is " << (south->token() > north->token() ? "greater" : "not greater") << " than north's\n";

  // A stop token tells north. Had it not looked in time, its token would be refused all the same.
  try {
    close_day(url, schema, north->token(), 2, north->owner());
  } catch (const millrace::LeaseLost&) {
    std::cout << "north's write was refused\n";
  }
  while (!north->stop_token().stop_requested()) std::this_thread::sleep_for(10ms);
  std::cout << "north was told that its lock is lost\n";

  for (const auto& row : setup.exec("SELECT day, who FROM " + schema + ".closed_days ORDER BY day"))
    std::cout << "day " << row[0].as<int>() << " was closed by " << row[1].as<std::string>() << "\n";
  setup.exec("DROP TABLE " + schema + ".closed_days");
}
