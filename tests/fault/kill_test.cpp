// Worker processes die at any moment: nothing is lost, and nothing is recorded twice.
#include "fault/process.hpp"
#include "support/schema.hpp"
#include "support/wait.hpp"

#include <millrace/client.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

using namespace std::chrono_literals;
using millrace::test::eventually;
using millrace::test::Process;
using millrace::test::Schema;

namespace {

int number_from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

struct Folder {
  Folder() : path(std::filesystem::temp_directory_path() / fmt::format("millrace-fault-{}", ::getpid())) {
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path path;
};

// Records every transition, outside the engine's own view of things.
void audit(Schema& schema) {
  const std::string name = schema.quoted();
  schema.connection().script(fmt::format(
      "CREATE TABLE {0}.audit (id bigint, was text, became text, at timestamptz DEFAULT clock_timestamp());"
      "CREATE FUNCTION {0}.audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO {0}.audit (id, was, became) VALUES (new.id, "
      "old.status, new.status); RETURN NULL; END $$;"
      "CREATE TRIGGER audit AFTER UPDATE ON {0}.tasks FOR EACH ROW WHEN (old.status <> new.status) EXECUTE FUNCTION {0}.audit()",
      name));
}

std::int64_t count(Schema& schema, const std::string& what) {
  return schema.connection().run("SELECT count(*) FROM " + schema.quoted() + "." + what).integer(0, 0);
}

}  // namespace

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
  REQUIRE(eventually(
      [&] {
        schema.connection().run("SELECT * FROM " + schema.quoted() + ".rescue()");
        return count(schema, "leases") == 0;
      },
      20s));
  CHECK(count(schema, "doctor()") == 0);

  std::set<std::int64_t> ended;
  std::ifstream lines(ledger);
  std::string what;
  std::int64_t id = 0, attempt = 0, lease = 0, pid = 0;
  while (lines >> what >> id >> attempt >> lease >> pid) {
    if (what == "end") ended.insert(id);
  }
  CHECK(ended.size() == static_cast<std::size_t>(tasks));
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
