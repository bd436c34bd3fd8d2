#include <millrace/testing/database.hpp>

#include "testing/kinds.hpp"

#include <pqxx/pqxx>

namespace millrace::test {

TEST_CASE("a database is migrated, its own, and gone at the end") {
  std::string url;
  {
    OnServer one;
    OnServer other;
    url = one.url();
    CHECK(one.url() != other.url());
    one.client().enqueue("work");
    CHECK(one.client().list({}).size() == 1);
    CHECK(other.client().list({}).empty());
    pqxx::connection link{one.url()};
    pqxx::work tx{link};
    CHECK(enqueue(tx, "work").created);
    tx.commit();
    CHECK(one.value("SELECT count(*) FROM tasks") == "2");
  }
  CHECK_THROWS_AS(static_cast<void>(Client({.database = url}).list({})), Error);
}

TEST_CASE("a schema of another name, and one that cannot be") {
  Database db{{.schema = "Jobs of \"mine\"", .server = database_url()}};
  CHECK(db.schema() == "Jobs of \"mine\"");
  db.client().enqueue("work");
  CHECK(db.value("SELECT count(*) FROM tasks") == "1");
  db.clock().advance(1h);
  CHECK(db.next_due());
  db.reset();
  CHECK(db.value("SELECT count(*) FROM tasks") == "0");
  CHECK_THROWS_AS(Database({.schema = "pg_mine", .server = database_url()}), InvalidArgument);
}

TEST_CASE("rows, values and the program's own tables") {
  OnServer db;
  db.exec("CREATE TABLE orders (id serial PRIMARY KEY, item text); INSERT INTO orders (item) VALUES ('wheel'), (NULL)");
  CHECK(db.value("SELECT item FROM public.orders ORDER BY id") == "wheel");
  CHECK(db.value("SELECT item FROM orders WHERE item IS NULL").empty());
  CHECK(db.value("SELECT item FROM orders WHERE false").empty());
  CHECK(db.rows("SELECT id, item FROM orders ORDER BY id") == std::vector<std::vector<std::string>>{{"1", "wheel"}, {"2", ""}});
  CHECK_THROWS_AS(db.exec("SELECT nothing"), DatabaseError);
  CHECK(db.value("SELECT 1") == "1");
}

TEST_CASE("reset leaves the queue as new, and the tables that it is told") {
  OnServer db;
  db.exec("CREATE TABLE orders (id serial PRIMARY KEY); CREATE TABLE kept (id int); CREATE TABLE parcels (task bigint REFERENCES tasks)");
  const auto fill = [&] {
    const TaskId id = db.client().enqueue("work", R"({"n":1})", {.key = "once"}).id;
    testing::drain(db, send_mail, [](const Mail& mail, Context&) { return mail.to; });  // registers the kind
    db.client().put_schedule("hourly", "every 1h", "work");
    db.exec("INSERT INTO orders DEFAULT VALUES; INSERT INTO kept VALUES (1); UPDATE settings SET args_bytes_max = 300;");
    db.exec("INSERT INTO parcels VALUES (" + std::to_string(id.value) + ")");
    db.clock().freeze(Time{std::chrono::sys_days{std::chrono::year{2030} / 1 / 1}});
    return id;
  };
  fill();
  db.reset({"orders"});
  CHECK(db.client().list({}).empty());
  CHECK(db.client().schedules().empty());
  CHECK(db.value("SELECT args_bytes_max FROM settings") == "1048576");
  CHECK(db.value("SELECT count(*) FROM migrations") == std::to_string(embedded_migrations().size()));
  CHECK(db.value("SELECT count(*) FROM orders") == "0");
  CHECK(db.value("SELECT count(*) FROM parcels") == "0");
  CHECK(db.value("SELECT count(*) FROM kept") == "1");
  CHECK_FALSE(db.clock().frozen());
  CHECK(db.value("SELECT clock() = now()") == "t");
  CHECK(fill() == TaskId{1});
  CHECK(db.value("SELECT max(id) FROM orders") == "1");
  CHECK(db.value("SELECT count(*) FROM doctor()") == "0");
}

TEST_CASE("reset is refused while a worker is connected") {
  OnServer db;
  Worker worker{db.worker_options()};
  worker.start();
  CHECK_THROWS_WITH_AS(db.reset(), "a worker is still connected to this database; stop it before reset()", StateError);
  worker.stop();
  CHECK_NOTHROW(db.reset());
}

TEST_CASE("the next thing that is due") {
  OnServer db;
  CHECK_FALSE(db.next_due());
  const Time now{std::chrono::sys_days{std::chrono::year{2030} / 1 / 1}};
  db.clock().freeze(now);
  db.client().enqueue("work", "{}", {.delay = 2h});
  CHECK(db.next_due() == now + 2h);
  db.client().put_schedule("often", "every 1h", "work");
  CHECK(db.next_due() == now + 1h);
}

}  // namespace millrace::test
