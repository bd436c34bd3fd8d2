// millrace worker list | pause | resume | stop
#include "cli/command.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>

#include <csignal>

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
  CHECK(one["kinds"] == nlohmann::json({"greet"}));
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

TEST_CASE("worker --preflight tells which kinds wait, and fails if one has no program") {
  Schema schema;
  const Words words{"worker", "--exec", "greet=false", "--preflight"};
  CHECK(run(schema, words).out == "no live tasks in these queues\n");
  enqueue(schema, {"greet"});
  enqueue(schema, {"greet", "--delay", "1h"});
  const auto one = run_json(schema, words);
  CHECK(one["kind"] == "greet");
  CHECK(one["live"] == 2);
  CHECK(one["handled"] == true);
  enqueue(schema, {"other"});
  const Ended ended = run(schema, words);
  CHECK(ended.code == 1);
  CHECK(ended.err == "millrace: no handler for other; give one with --exec, or serve other queues\n");
  CHECK(ended.out.find("other  1     0           no") != std::string::npos);
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status IN ('pending', 'scheduled')") == 3);
}

TEST_CASE("numbers of the worker are decimal, and refused by their names") {
  Schema schema;
  CHECK(run(schema, {"worker", "--exec", "greet=true", "--batch", "0100", "--until-empty"}).code == 0);
  check_refused(run(schema, {"worker", "--exec", "greet=true", "--batch", "0x10"}), 2, "--batch is \"0x10\"");
  check_refused(run(schema, {"worker", "--exec", "greet=true", "--batch", "0"}), 2, "batch");
}

TEST_CASE("task show tells which worker a due task lacks") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet"});
  const auto shown = [&] { return run(schema, {"task", "show", id}).out; };
  const auto says = [&](const std::string& text) { return shown().find("held up       " + text) != std::string::npos; };
  CHECK(says("no live worker serves queue default\n"));
  Command stranger({"--schema", schema.name(), "worker", "--name", "south", "--exec", "other=true"});
  REQUIRE(eventually([&] { return schema.number("SELECT count(*) FROM workers") == 1; }));
  CHECK(says("no live worker of queue default handles greet; millrace worker list shows what they handle\n"));
  schema.connection().run(
      "SELECT register_worker('00000000-0000-4000-8000-0000000000dd', 'north', 'h', 1, '0', '{default}', '1 hour', '1 second', '{greet}')");
  CHECK(shown().find("held up") == std::string::npos);
  schema.connection().run("UPDATE workers SET state = 'paused' WHERE name = 'north'");
  CHECK(says("every worker that handles greet in queue default is paused\n"));
  const std::string later = enqueue(schema, {"greet", "--delay", "1h"});
  CHECK(run(schema, {"task", "show", later}).out.find("held up") == std::string::npos);
  CHECK(run(schema, {"task", "cancel", id}).code == 0);
  CHECK(shown().find("held up") == std::string::npos);
  stranger.signal(SIGTERM);
  CHECK(stranger.wait().code == 0);
}
