// The connection that everything else uses.
#include "postgres/errors.hpp"
#include "support/schema.hpp"

#include <millrace/error.hpp>

#include <doctest/doctest.h>
#include <pqxx/pqxx>

using namespace std::chrono_literals;
using namespace millrace::test;

TEST_CASE("a notification that comes while a statement is executed is not lost") {
  Schema schema;
  const auto ears = schema.open();
  ears->listen("one");
  ears->listen("two");
  schema.connection().script("NOTIFY one; NOTIFY two");
  // The server delivers before it answers, and the driver reads both together.
  for (int i = 0; i < 10; ++i) ears->run("SELECT pg_sleep(0.001)");
  CHECK(ears->wait(5s) == 2);
  CHECK(ears->heard("one") == 1);
  CHECK(ears->heard("two") == 1);
  CHECK(ears->heard("three") == 0);
  CHECK(ears->wait(0ms) == 0);
  CHECK(ears->heard("one") == 0);
  ears->deafen();
  schema.connection().script("NOTIFY one");
  for (int i = 0; i < 10; ++i) ears->run("SELECT pg_sleep(0.001)");
  CHECK(ears->wait(0ms) == 0);
}

TEST_CASE("what is no answer of the server is a lost connection, whatever the driver calls it") {
  const auto translated = [](const auto& exception) {
    try {
      throw exception;
    } catch (const std::exception&) {
      millrace::postgres::rethrow_translated();
    }
  };
  CHECK_THROWS_AS(translated(pqxx::sql_error("server closed the connection unexpectedly", "SELECT 1")), millrace::ConnectionError);
  CHECK_THROWS_AS(translated(pqxx::broken_connection("gone")), millrace::ConnectionError);
  CHECK_THROWS_AS(translated(pqxx::failure("Could not obtain client encoding: not connected")), millrace::ConnectionError);
  CHECK_THROWS_AS(translated(pqxx::sql_error("FATAL:  terminating connection due to idle-session timeout", "SELECT 1", "57P05")),
                  millrace::ConnectionError);
  CHECK_THROWS_AS(translated(pqxx::in_doubt_error("COMMIT was sent")), millrace::OutcomeUnknown);
  CHECK_THROWS_AS(translated(pqxx::sql_error("ERROR:  no", "SELECT 1", "42601")), millrace::DatabaseError);
  CHECK_THROWS_AS(translated(pqxx::transaction_rollback("ERROR:  no")), millrace::DatabaseError);
}

TEST_CASE("a statement that fails again and again is prepared once") {
  Schema schema;
  auto& connection = schema.connection();
  for (int i = 0; i < 5; ++i) {
    CHECK_THROWS_AS(connection.run("SELECT 1 / $1::int", millrace::postgres::Params().integer(0)), millrace::DatabaseError);
    CHECK_THROWS_AS(connection.run("SELECT FROM nowhere"), millrace::DatabaseError);
  }
  CHECK(schema.number("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT 1 / $1%'") == 1);
  CHECK(schema.number("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%nowhere'") == 0);
  CHECK(connection.run("SELECT 1 / $1::int", millrace::postgres::Params().integer(1)).integer(0, 0) == 1);
  // A table that comes to be is found.
  connection.script("CREATE TABLE nowhere ()");
  CHECK(connection.run("SELECT FROM nowhere").size() == 0);
}

TEST_CASE("any time to connect is one that the server's library takes") {
  for (const millrace::Milliseconds time :
       {millrace::Milliseconds::min(), 0ms, millrace::Milliseconds(3'000'000'000'000), millrace::Milliseconds::max()}) {
    millrace::postgres::Connection link({.url = database_url(), .connect_timeout = time});
    CHECK(link.run("SELECT 1").integer(0, 0) == 1);
  }
}

TEST_CASE("what the role may not do is an answer of the server, though the driver forgets its SQLSTATE") {
  Schema schema;
  auto& connection = schema.connection();
  const std::string role = '"' + schema.name() + " nobody\"";
  connection.script("CREATE ROLE " + role + "; SET ROLE " + role);
  std::string sqlstate;
  try {
    connection.run("SELECT * FROM " + schema.quoted() + ".tasks");
  } catch (const millrace::DatabaseError& e) {
    sqlstate = e.sqlstate();
  }
  CHECK(sqlstate == "42501");
  CHECK_FALSE(connection.broken());
  connection.script("RESET ROLE; DROP ROLE " + role);
}
