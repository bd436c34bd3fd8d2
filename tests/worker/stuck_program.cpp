// A program whose handler never ends. Usage: stuck_program URL SCHEMA
#include <millrace/millrace.hpp>

#include <cstdio>
#include <cstdlib>
#include <latch>

using namespace std::chrono_literals;

int main(int, char** arguments) {
  std::atexit([] { std::puts("at exit"); });
  std::latch entered(1);
  std::latch never(1);
  millrace::Worker worker({.database = arguments[1], .schema = arguments[2], .grace = 50ms, .stop_patience = 50ms});
  worker.handle_raw("stuck", [&](millrace::Context&) -> millrace::Outcome<std::string> {
    entered.count_down();
    never.wait();
    return std::string();
  });
  worker.start();
  millrace::Client({.database = arguments[1], .schema = arguments[2]}).enqueue("stuck");
  entered.wait();
  worker.stop();
  std::puts("stop() came back");
  return 0;
}
