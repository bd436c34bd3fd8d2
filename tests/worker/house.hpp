// A schema with a client and quick settings for workers.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <doctest/doctest.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <millrace/millrace.hpp>

#include "support/schema.hpp"
#include "support/wait.hpp"

namespace millrace::test {

using namespace std::chrono_literals;

struct House {
  Schema schema{};
  Client client{{.database = schema.url(), .schema = schema.name()}};

  WorkerOptions options() {
    return {.database = schema.url(),
            .schema = schema.name(),
            .queues = {{"default", 4}},
            .lease_ttl = 3s,
            .heartbeat = 100ms,
            .poll_interval = 1s,
            .grace = 5s,
            .stop_patience = 200ms,
            .timeout_grace = 200ms,
            .exit_if_stuck = false,
            .logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::null_sink_mt>())};
  }
  Status status(TaskId id) { return client.get(id)->status; }
  bool reaches(TaskId id, Status wanted) {
    return eventually([&] { return status(id) == wanted; }, 20s);
  }
  std::int64_t count(const std::string& what) {
    return schema.connection().run("SELECT count(*) FROM " + schema.quoted() + "." + what).integer(0, 0);
  }
  void consistent() {
    CHECK(eventually([&] { return count("leases") == 0; }, 10s));
    CHECK(count("doctor()") == 0);
  }
};

inline Outcome<std::string> nothing(Context&) { return std::string{}; }

}  // namespace millrace::test
