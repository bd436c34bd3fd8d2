// The tests of a project that uses an installed Millrace.
#include <millrace/millrace.hpp>
#include <millrace/testing.hpp>

#include <iostream>
#include <string>

struct Greeting {
  std::string name{};
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Greeting, name)

const millrace::Task<Greeting, std::string> greet{"greet"};

int main() {
  using namespace millrace::testing;
  const auto handler = [](const Greeting& greeting, millrace::Context&) { return "Hello, " + greeting.name; };
  if (perform(greet, {.name = "Ada"}, handler).value != "Hello, Ada") return 1;
  Database db;
  greet.enqueue(db.client(), {.name = "Ada"});
  assert_enqueued(db, greet, Greeting{.name = "Ada"});
  std::cout << drain(db, greet, handler).text() << '\n';
  return 0;
}
