// A program in which two workers run until SIGTERM. Usage: two_program URL SCHEMA
#include <millrace/millrace.hpp>

#include <fmt/format.h>

#include <sys/types.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "support/wait.hpp"

using namespace std::chrono_literals;

namespace {

void on_signal(int) {}

}  // namespace

int main(int, char** arguments) {
  // If the signal does not reach them all, this process ends by this one.
  ::alarm(60);
  std::signal(SIGTERM, on_signal);
  millrace::WorkerOptions options{.database = arguments[1], .schema = arguments[2]};
  millrace::Client client({.database = arguments[1], .schema = arguments[2]});
  const auto here = [&](std::size_t workers) {
    if (!millrace::test::eventually([&] { return client.workers().size() == workers; }))
      throw std::runtime_error("the workers do not come");
  };
  // The driver makes its tables with the first connection, and ThreadSanitizer cannot see what guards them.
  here(0);
  options.name = "first";
  millrace::Worker first(options);
  std::thread running_first([&] { first.run(); });
  here(1);
  // One that came later, and goes earlier, leaves the first its signals.
  {
    options.name = "visitor";
    millrace::Worker visitor(options);
    std::thread running([&] { visitor.run(); });
    here(2);
    client.stop_worker("visitor");
    running.join();
    here(1);
  }
  options.name = "second";
  millrace::Worker second(options);
  std::thread running_second([&] { second.run(); });
  here(2);
  ::kill(::getpid(), SIGTERM);
  running_first.join();
  running_second.join();
  struct sigaction now {};
  ::sigaction(SIGTERM, nullptr, &now);
  std::puts(now.sa_handler == on_signal ? "all ended, and the signal is the program's again" : "the signal is not the program's");
  return 0;
}
