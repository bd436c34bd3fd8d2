// Uses enough of the library that everything it links must be there.
#include <millrace/millrace.hpp>

#include <chrono>
#include <iostream>
#include <string>

struct Greeting {
  std::string name{};
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Greeting, name)

const millrace::Task<Greeting, std::string> greet{"greet", {.queue = "default", .timeout = std::chrono::seconds(30)}};

int main() {
  std::cout << "millrace " << millrace::version() << '\n';
  millrace::Worker worker{{.database = "host=/nowhere"}};
  worker.handle(greet, [](const Greeting& greeting, millrace::Context&) { return "Hello, " + greeting.name; });
  millrace::Client client{{.database = "host=/nowhere"}};
  try {
    greet.enqueue(client, {.name = "Ada"});
  } catch (const millrace::ConnectionError& e) {
    std::cout << e.what() << '\n';
    return 0;
  }
  return 1;
}
