// millrace worker list | pause | resume | stop
#include "cli/command.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>

using namespace millrace::test;

TEST_CASE("workers are listed, paused, resumed and stopped from the command line") {
  Schema schema;
  CHECK(run(schema, {"worker", "list"}).out == "no workers; millrace worker --exec KIND=COMMAND starts one\n");
  Command worker({"--schema", schema.name(), "worker", "--name", "north", "--exec", "greet=true"});
  REQUIRE(eventually([&] { return schema.number("SELECT count(*) FROM workers") == 1; }));
  const auto one = run_json(schema, {"worker", "list"});
  CHECK(one["name"] == "north");
  CHECK(one["state"] == "running");
  CHECK(one["queues"] == nlohmann::json({"default"}));
  const std::string id = one["id"];
  CHECK(run(schema, {"worker", "list"}).out.find("north  running") != std::string::npos);

  CHECK(run(schema, {"worker", "pause", "north"}).out == "worker " + id + " was asked to pause\n");
  REQUIRE(eventually([&] { return schema.value("SELECT state FROM workers") == "paused"; }));
  const std::string task = enqueue(schema, {"greet"});
  CHECK(run(schema, {"worker", "resume", id.substr(0, 8)}).code == 0);
  CHECK(run(schema, {"task", "wait", task}).code == 0);
  CHECK(run_json(schema, {"worker", "stop", id})["asked"] == "stop");
  CHECK(worker.wait().code == 0);
  CHECK(schema.number("SELECT count(*) FROM workers") == 0);
  check_refused(run(schema, {"worker", "stop", id}), 3, "there is no worker \"" + id + "\"");
  check_refused(run(schema, {"worker", "pause"}), 2, "worker");
  check_refused(run(schema, {"worker"}), 2, "--exec");
}
