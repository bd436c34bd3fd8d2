// The server dies while tasks are enqueued, claimed, run and settled: what was acknowledged is done, once.
#include "dev/cluster.hpp"
#include "fault/evidence.hpp"
#include "fault/process.hpp"
#include "support/wait.hpp"

#include <millrace/client.hpp>
#include <millrace/error.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <future>
#include <set>
#include <thread>

using namespace std::chrono_literals;
using namespace millrace::test;

namespace {

// A cluster of this test's own: it is going to be stopped the hard way.
struct Server {
  Server() : cluster(millrace::dev::Cluster::in(folder.path)) { cluster.up(); }
  ~Server() {
    try {
      cluster.destroy();
    } catch (const std::exception& e) {
      MESSAGE(e.what());
    }
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  Folder folder{};
  millrace::dev::Cluster cluster;
};

// Enqueues one task after the other, whatever becomes of the server, and keeps what it was told.
class Producer {
 public:
  Producer(const Schema& schema, int tasks)
      : client_({.database = schema.url(), .schema = schema.name()}), thread_([this, tasks] { run(tasks); }) {}
  ~Producer() {
    over_ = true;
    thread_.join();
  }
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] int told() const { return told_; }
  std::set<std::int64_t> acknowledged{};
  int unknown = 0;

 private:
  void run(int tasks) {
    while (told_ < tasks && !over_) {
      try {
        acknowledged.insert(client_.enqueue("work", "{}", {.max_attempts = 50}).id.value);
        ++told_;
      } catch (const millrace::OutcomeUnknown&) {
        ++unknown;
      } catch (const millrace::ConnectionError&) {
        std::this_thread::sleep_for(10ms);  // the pace of trying again
      }
    }
    done_ = true;
  }

  millrace::Client client_;
  std::atomic<bool> over_{false};
  std::atomic<bool> done_{false};
  std::atomic<int> told_{0};
  std::thread thread_;
};

}  // namespace

TEST_CASE("F4: a server that stops the hard way loses nothing that it acknowledged") {
  Server server;
  Schema schema(std::string(server.cluster.url().reveal()));
  audit(schema);
  const int tasks = number_from_environment("MILLRACE_FAULT_TASKS", 1000);
  const int kills = 5;
  const std::string ledger = server.folder.path / "ledger";
  const std::vector<std::string> command = {RUNNER, schema.url(), schema.name(), ledger};
  std::vector<Process> workers;
  for (int i = 0; i < 2; ++i) workers.emplace_back(command);
  {
    Producer producer(schema, tasks);
    for (int killed = 0; killed < kills; ++killed) {
      REQUIRE(eventually([&] { return producer.told() >= tasks * (killed + 1) / (kills + 1); }, 60s));
      server.cluster.down(millrace::dev::Stop::immediate);
      server.cluster.up();
    }
    REQUIRE(eventually([&] { return producer.done(); }, 60s));
    schema.reconnect();
    CHECK(eventually([&] { return count(schema, "tasks WHERE status <> 'completed'") == 0; }, 60s));
    for (Process& worker : workers) worker.signal(SIGTERM);
    for (Process& worker : workers) CHECK(WEXITSTATUS(worker.wait()) == 0);

    MESSAGE(producer.acknowledged.size() << " tasks acknowledged, " << producer.unknown << " unknown");
    std::set<std::int64_t> completed;
    const auto rows = schema.connection().run("SELECT id FROM tasks WHERE status = 'completed'");
    for (int row = 0; row < rows.size(); ++row) completed.insert(rows.integer(row, 0));
    for (const std::int64_t id : producer.acknowledged) CHECK(completed.contains(id));
    CHECK(completed.size() <= producer.acknowledged.size() + static_cast<std::size_t>(producer.unknown));
    CHECK(count(schema, "audit WHERE became = 'completed'") == static_cast<std::int64_t>(completed.size()));
    CHECK(count(schema, "audit WHERE was IN ('completed', 'failed', 'cancelled')") == 0);
    const auto ran = ended(ledger);
    for (const std::int64_t id : completed) CHECK(ran.contains(id));
  }
  REQUIRE(rescued(schema));
  INFO(schema.value(
      "SELECT string_agg(format('%s: %s', problem, n), ', ') FROM (SELECT problem, count(*) AS n FROM doctor() GROUP BY 1) d"));
  INFO(schema.value("SELECT string_agg(format('%s: %s', status, n), ', ') FROM (SELECT status, count(*) AS n FROM tasks GROUP BY 1) t"));
  INFO(schema.value("SELECT string_agg(format('%s: %s', bucket, n), ', ') FROM (SELECT bucket, count(*) AS n FROM tickets GROUP BY 1) t"));
  INFO(schema.value("SELECT string_agg(d::text, ' ') FROM (SELECT * FROM doctor() LIMIT 3) d"));
  CHECK(count(schema, "doctor()") == 0);
}

TEST_CASE("a wait goes on after the server was stopped the hard way and started again") {
  Server server;
  Schema schema(std::string(server.cluster.url().reveal()));
  millrace::Client client({.database = schema.url(), .schema = schema.name()});
  const auto id = client.enqueue("nobody").id;
  auto waiting = std::async(std::launch::async, [&] { return client.wait(id, 120s); });
  REQUIRE(eventually([&] { return count(schema, "waits") == 1; }));
  server.cluster.down(millrace::dev::Stop::immediate);
  server.cluster.up();
  schema.reconnect();
  schema.connection().run(fmt::format("SELECT cancel({})", id.value));
  CHECK(waiting.get()->status == millrace::Status::cancelled);
}
