// Worker processes die at any moment: nothing is lost, and nothing is recorded twice.
#include "fault/evidence.hpp"
#include "fault/process.hpp"
#include "support/wait.hpp"

#include <millrace/client.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <random>

using namespace std::chrono_literals;
using namespace millrace::test;

TEST_CASE("F1: workers killed at random lose nothing and record nothing twice") {
  Schema schema;
  audit(schema);
  Folder folder;
  const std::string ledger = folder.path / "ledger";
  const int tasks = number_from_environment("MILLRACE_FAULT_TASKS", 1000);
  const int kills = number_from_environment("MILLRACE_FAULT_KILLS", 10);
  const unsigned seed = static_cast<unsigned>(number_from_environment("MILLRACE_FAULT_SEED", 1));
  MESSAGE("seed " << seed << ", " << tasks << " tasks, " << kills << " kills");
  std::minstd_rand random(seed);

  millrace::Client client({.database = schema.url(), .schema = schema.name()});
  client.enqueue_many("work", std::vector<std::string>(static_cast<std::size_t>(tasks), "{}"), {.max_attempts = 50});
  const std::vector<std::string> command = {RUNNER, schema.url(), schema.name(), ledger};
  std::vector<Process> workers;
  for (int i = 0; i < 3; ++i) workers.emplace_back(command);

  for (int killed = 0; killed < kills; ++killed) {
    const std::int64_t goal = static_cast<std::int64_t>(tasks) * (killed + 1) / (kills + 1);
    REQUIRE(eventually([&] { return count(schema, "tasks WHERE status = 'completed'") >= goal; }, 60s));
    Process& victim = workers[random() % workers.size()];
    victim.signal(SIGKILL);
    CHECK(WIFSIGNALED(victim.wait()));
    victim = Process(command);
  }
  CHECK(eventually([&] { return count(schema, "tasks WHERE status <> 'completed'") == 0; }, 60s));
  for (Process& worker : workers) worker.signal(SIGTERM);
  for (Process& worker : workers) CHECK(WEXITSTATUS(worker.wait()) == 0);

  CHECK(count(schema, "tasks WHERE status = 'completed'") == tasks);
  CHECK(count(schema, "audit WHERE became = 'completed'") == tasks);
  CHECK(count(schema, "audit WHERE was IN ('completed', 'failed', 'cancelled')") == 0);
  // What a killed worker left is rescued by then or by the next heart: nobody is left, so do it here.
  REQUIRE(rescued(schema));
  CHECK(count(schema, "doctor()") == 0);

  CHECK(ended(ledger).size() == static_cast<std::size_t>(tasks));
}

TEST_CASE("F2: a zombie's completion is refused, and there is one result") {
  Schema schema;
  audit(schema);
  Folder folder;
  const std::string ledger = folder.path / "ledger";
  const std::string gate = folder.path / "gate";
  const std::string said = folder.path / "said";
  millrace::Client client({.database = schema.url(), .schema = schema.name()});
  const auto task = client.enqueue("gated", "{}").id;

  Process zombie({RUNNER, schema.url(), schema.name(), ledger, gate}, said);
  REQUIRE(eventually([&] { return client.get(task)->status == millrace::Status::running; }, 20s));
  zombie.signal(SIGSTOP);
  // Another worker takes it for dead, reruns the task, and completes it.
  Process heir({RUNNER, schema.url(), schema.name(), ledger, gate});
  REQUIRE(eventually([&] { return client.get(task)->status == millrace::Status::completed; }, 30s));
  const auto before = client.get(task);
  CHECK(before->attempt == 2);
  std::ofstream(gate) << "open\n";
  zombie.signal(SIGCONT);
  REQUIRE(eventually(
      [&] {
        std::ifstream lines(ledger);
        const std::string text((std::istreambuf_iterator<char>(lines)), {});
        return text.find(fmt::format("end {} 1 ", task.value)) != std::string::npos;
      },
      20s));
  zombie.signal(SIGTERM);
  CHECK(WEXITSTATUS(zombie.wait()) == 0);
  heir.signal(SIGTERM);
  CHECK(WEXITSTATUS(heir.wait()) == 0);

  std::ifstream words(said);
  const std::string text((std::istreambuf_iterator<char>(words)), {});
  CHECK(text == "lost 1 completed 0\n");
  const auto after = client.get(task);
  CHECK(after->result == before->result);
  CHECK(after->finished_at == before->finished_at);
  CHECK(count(schema, "audit WHERE became = 'completed'") == 1);
  CHECK(count(schema, "doctor()") == 0);
}

TEST_CASE("I12: SIGTERM gives back what was not begun, finishes what was, and leaves nothing running") {
  Schema schema;
  Folder folder;
  millrace::Client client({.database = schema.url(), .schema = schema.name()});
  client.enqueue_many("work", std::vector<std::string>(3000, "{}"));
  Process worker({RUNNER, schema.url(), schema.name(), folder.path / "ledger"});
  REQUIRE(eventually([&] { return count(schema, "tasks WHERE status = 'completed'") > 100; }, 30s));
  worker.signal(SIGTERM);
  CHECK(WEXITSTATUS(worker.wait()) == 0);
  CHECK(count(schema, "tasks WHERE status = 'running'") == 0);
  CHECK(count(schema, "tasks WHERE status = 'pending' AND attempt <> 0") == 0);
  CHECK(count(schema, "leases") == 0);
  CHECK(count(schema, "workers") == 0);
  CHECK(count(schema, "doctor()") == 0);
}
