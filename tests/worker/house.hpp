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
  /// What can be claimed now was running in a worker that died: it waits in the lane of suspects.
  void leave_suspects() {
    const std::string dead = "00000000-0000-4000-8000-0000000000dd";
    auto& link = schema.connection();
    link.run("SELECT register_worker('" + dead + "', 'dead', 'h', 1, '0', '{default}', '1 second')");
    link.run("SELECT count(*) FROM claim('" + dead +
             "', 'default', 1000, array_fill('-infinity'::timestamptz, '{5}'), array_fill(0, '{5}'))");
    link.run("UPDATE workers SET seen_at = now() - interval '1 hour' WHERE id = '" + dead + "'");
    link.run("SELECT * FROM rescue()");
  }
  void consistent() {
    CHECK(eventually([&] { return count("leases") == 0; }, 10s));
    CHECK(count("doctor()") == 0);
  }
};

inline Outcome<std::string> nothing(Context&) { return std::string{}; }

}  // namespace millrace::test
