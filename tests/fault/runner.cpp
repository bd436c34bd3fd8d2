// A worker process for the fault tests: every run leaves a line in an O_APPEND file before and after it, so that what
// happened is known even if the process dies. Usage: runner URL SCHEMA LEDGER [GATE]
#include <millrace/millrace.hpp>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int ledger = ::open(argv[3], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  const std::string gate = argc > 4 ? argv[4] : "";
  auto logger = std::make_shared<spdlog::logger>("runner", std::make_shared<spdlog::sinks::stderr_sink_st>());
  logger->set_level(spdlog::level::off);
  millrace::Worker worker({.database = argv[1],
                           .schema = argv[2],
                           .queues = {{"default", 4}},
                           .lease_ttl = 1500ms,
                           .heartbeat = 150ms,
                           .poll_interval = 100ms,
                           .grace = 10s,
                           .logger = logger});
  const auto note = [&](const char* what, const millrace::Context& context) {
    const std::string line =
        fmt::format("{} {} {} {} {}\n", what, context.task_id().value, context.attempt(), context.lease().value, ::getpid());
    if (::write(ledger, line.data(), line.size()) < 0) std::abort();
  };
  worker.handle_raw("work", [&](millrace::Context& context) -> millrace::Outcome<std::string> {
    note("start", context);
    std::this_thread::sleep_for(1ms);
    note("end", context);
    return fmt::format(R"({{"pid":{}}})", ::getpid());
  });
  worker.handle_raw("tick", [](millrace::Context&) -> millrace::Outcome<std::string> { return std::string{}; });
  // Holds its first attempt until the gate file is there; any later attempt passes.
  worker.handle_raw("gated", [&](millrace::Context& context) -> millrace::Outcome<std::string> {
    note("start", context);
    while (context.attempt() == 1 && !std::filesystem::exists(gate)) std::this_thread::sleep_for(5ms);
    note("end", context);
    return fmt::format(R"({{"attempt":{}}})", context.attempt());
  });
  worker.run();
  const auto counts = worker.counts();
  fmt::print("lost {} completed {}\n", counts.lost, counts.completed);
  return 0;
}
