// The connection that everything else uses.
#include "support/schema.hpp"

#include <doctest/doctest.h>

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
