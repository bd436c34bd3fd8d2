// A worker whose program hears what becomes of its tasks. Usage: events URL [SCHEMA]. It needs `millrace migrate up` first.
#include <millrace/millrace.hpp>

#include <iostream>
#include <latch>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: events URL [SCHEMA]\n";
    return 2;
  }
  const std::string url = argv[1];
  const std::string schema = argc > 2 ? argv[2] : "millrace";

  millrace::Worker worker{{.database = url, .schema = schema}};
  worker.handle_raw("print", [](millrace::Context& context) -> millrace::Outcome<std::string> {
    if (context.attempt() < 2) throw std::runtime_error("no paper");
    throw millrace::Fail{"printer on fire"};
  });

  // All listeners run on one thread of the worker's: they need no lock among themselves.
  std::latch dead(1);
  worker.on(millrace::Event::started, [](const millrace::TaskEvent& event) {
    std::cout << event.kind << " started, attempt " << event.attempt << " of " << event.max_attempts << "\n";
  });
  worker.on(millrace::Event::retrying,
            [](const millrace::TaskEvent& event) { std::cout << event.kind << " will be retried: " << event.error << "\n"; });
  worker.on(millrace::Event::dead, [&](const millrace::TaskEvent& event) {
    std::cout << "alert for " << event.tenant.value_or("nobody") << ": " << event.kind << " is dead: " << event.error << "\n";
    dead.count_down();
  });
  worker.start();

  millrace::Client client{{.database = url, .schema = schema}};
  client.enqueue("print", "{}", {.backoff = millrace::fixed(10ms), .tenant = "acme"});
  dead.wait();
  return worker.stop() ? 0 : 1;
}
