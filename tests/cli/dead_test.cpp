// millrace dead: dead letters and their queues.
#include "cli/command.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace millrace::test;

namespace {

void bury(const Schema& schema, const std::string& queue = "default") {
  const Ended ended = run(schema, {"worker", "--queue", queue + "=2", "--exec", "greet=echo 'no paper' >&2; exit 65", "--until-empty"});
  INFO(ended.err);
  REQUIRE(ended.code == 0);
}

}  // namespace

TEST_CASE("dead letters are listed, shown, counted, revived and purged") {
  Schema schema;
  CHECK(run(schema, {"dead", "list"}).out == "no dead letters\n");
  CHECK(run(schema, {"dead", "count"}).out == "no dead letters\n");
  const std::string one = enqueue(schema, {"greet"});
  const std::string two = enqueue(schema, {"greet", "--tenant", "acme"});
  bury(schema);
  const std::string live = enqueue(schema, {"greet", "--delay", "1h", "--queue", "other"});

  const std::string list = run(schema, {"dead", "list"}).out;
  CHECK(list.find("exit status 65: no paper") != std::string::npos);
  CHECK(list.find("DIED AT") != std::string::npos);
  CHECK(run_lines(schema, {"dead", "list"}).size() == 2);
  CHECK(run_json(schema, {"dead", "list", "--tenant", "acme"})["id"].dump() == two);
  CHECK(run(schema, {"dead", "list", "--limit", "1"}).out.ends_with("next page: the same with --before " + two + "\n"));
  CHECK(run_json(schema, {"dead", "list", "--before", two})["id"].dump() == one);
  CHECK(run_lines(schema, {"dead", "list", "--dead-from", "1h"}).size() == 2);
  CHECK(run_json(schema, {"dead", "count"})["tasks"] == 2);
  CHECK(run_json(schema, {"dead", "show", one})["status"] == "failed");
  check_refused(run(schema, {"dead", "show", live}), 4, "task " + live + " is scheduled, no dead letter");
  check_refused(run(schema, {"dead", "show", "999"}), 3, "there is no task 999");

  check_refused(run(schema, {"dead", "retry"}), 2, "id is missing; give ids, a filter such as --kind NAME, or --all");
  check_refused(run(schema, {"dead", "retry", one, "--all"}), 2, "cannot be given together with a filter or --all");
  check_refused(run(schema, {"dead", "retry", "--all"}), 2, "--yes is needed");
  check_refused(run(schema, {"dead", "retry", one, live}), 4, "task " + live);
  CHECK(schema.number("SELECT count(*) FROM dead_letters") == 2);
  CHECK(run_json(schema, {"dead", "retry", one}) == nlohmann::json({{"id", std::stoi(one)}, {"status", "pending"}}));
  CHECK(run(schema, {"dead", "retry", "--all", "--yes"}).out == "1 task retried\n");
  bury(schema);

  check_refused(run(schema, {"dead", "purge", "--yes"}), 2, "--older-than is missing");
  check_refused(run(schema, {"dead", "purge", "--older-than", "1h"}), 2, "--yes is needed");
  check_refused(run(schema, {"dead", "purge", "--older-than", "1h", "--all", "--yes"}), 2, "--older-than");
  CHECK(run(schema, {"dead", "purge", "--older-than", "1h", "--yes"}).out == "0 tasks deleted\n");
  schema.connection().run("UPDATE tasks SET dead_at = dead_at - interval '2 hours' WHERE id = " + one);
  CHECK(run_json(schema, {"dead", "purge", "--older-than", "1h", "--plan"})["examples"].dump() == "[" + one + "]");
  CHECK(run(schema, {"dead", "purge", "--older-than", "1h", "--yes"}).out == "1 task deleted\n");
  CHECK(run(schema, {"dead", "purge", "--all", "--yes"}).out == "1 task deleted\n");
  CHECK(schema.value("SELECT string_agg(id::text, ' ') FROM tasks") == live);
}

TEST_CASE("a dead-letter queue is set, listed and unset, and task show tells both ends") {
  Schema schema;
  CHECK(run(schema, {"dead", "queue", "list"}).out == "no queue has one; millrace dead queue set QUEUE TARGET gives one to it\n");
  CHECK(run(schema, {"dead", "queue", "set", "default", "morgue"}).out == "dead letters of default go to morgue from now on\n");
  check_refused(run(schema, {"dead", "queue", "set", "morgue", "default"}), 2, "target is 'default'");
  check_refused(run(schema, {"dead", "queue", "set", "default", ""}), 2, "target has 0 bytes");
  check_refused(run(schema, {"dead", "queue", "set", "default"}), 2, "target");
  CHECK(run_json(schema, {"dead", "queue", "list"}) == nlohmann::json({{"queue", "default"}, {"target", "morgue"}}));
  const std::string id = enqueue(schema, {"greet"});
  bury(schema);
  const auto dead = run_json(schema, {"task", "show", id});
  const std::string copy = dead["forwarded_to"].dump();
  CHECK(run_json(schema, {"task", "show", copy})["forwarded_from"].dump() == id);
  CHECK(run(schema, {"task", "show", id}).out.find("forwarded to  task " + copy + "\n") != std::string::npos);
  CHECK(run(schema, {"task", "show", copy}).out.find("made from     dead letter " + id + "\n") != std::string::npos);
  CHECK(run(schema, {"dead", "list"}).out.find("  " + copy + "  ") != std::string::npos);
  CHECK(run(schema, {"dead", "queue", "set", "greet", "clinic", "--kind"}).out == "dead letters of kind greet go to clinic from now on\n");
  CHECK(run(schema, {"dead", "queue", "list"}).out ==
        "OF THE  NAMED    DEAD LETTERS GO TO\nkind    greet    clinic\nqueue   default  morgue\n");
  CHECK(run(schema, {"dead", "queue", "unset", "greet", "--kind"}).out == "dead letters of kind greet stay where they are from now on\n");
  CHECK(run(schema, {"dead", "queue", "unset", "default"}).out == "dead letters of default stay where they are from now on\n");
  CHECK(schema.number("SELECT count(*) FROM dead_queues") == 0);
}
