// millrace task: lists and changes of many tasks.
#include "cli/command.hpp"

#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

using namespace millrace::test;

namespace {

void fill(Schema& schema) {
  schema.connection().run(
      "SELECT enqueue_many('email', array_fill('{}'::jsonb, '{4}'), queue => 'mail', tenant => 'acme', tags => '{a,b}')");
  schema.connection().run("SELECT enqueue('report', delay => '1 hour', correlation => 'c')");
  schema.connection().run("SELECT enqueue('print', tags => '{a}')");
}

std::string ids(const Schema& schema, Words filter) {
  filter.insert(filter.begin(), {"task", "list"});
  std::string all;
  for (const auto& task : run_lines(schema, filter)) all += (all.empty() ? "" : " ") + task["id"].dump();
  return all;
}

// Runs it at a terminal of its own where somebody types this; what it showed there comes back.
std::string at_terminal(const Schema& schema, const std::string& typed, int& code) {
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    ::setenv("MILLRACE_DATABASE", url_with_password().c_str(), 1);
    ::execl(MILLRACE, MILLRACE, "--schema", schema.name().c_str(), "task", "cancel", "--kind", "email", static_cast<char*>(nullptr));
    ::_exit(99);
  }
  REQUIRE(child > 0);
  std::string shown;
  char bytes[512];
  bool answered = false;
  for (;;) {
    // At its end a terminal whose last user went away is an error.
    const ssize_t count = ::read(terminal, bytes, sizeof bytes);
    if (count <= 0) break;
    shown.append(bytes, static_cast<std::size_t>(count));
    if (!answered && shown.find("[y/N] ") != std::string::npos) {
      answered = true;
      REQUIRE(::write(terminal, typed.data(), typed.size()) == static_cast<ssize_t>(typed.size()));
    }
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  ::close(terminal);
  code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  CHECK(answered);
  return shown;
}

}  // namespace

TEST_CASE("task list takes every field of a filter, and tells the way to the next page") {
  Schema schema;
  fill(schema);
  CHECK(ids(schema, {"--status", "pending,scheduled"}) == "6 5 4 3 2 1");
  CHECK(ids(schema, {"--status", "scheduled", "--status", "running"}) == "5");
  CHECK(ids(schema, {"--tag", "a"}) == "6 4 3 2 1");
  CHECK(ids(schema, {"--tag", "a", "--tag", "b", "--limit", "1"}) == "4");
  CHECK(ids(schema, {"--tenant", "acme", "--before", "3"}) == "2 1");
  CHECK(ids(schema, {"--correlation", "c"}) == "5");
  CHECK(ids(schema, {"--created-from", "1h"}) == "6 5 4 3 2 1");
  CHECK(ids(schema, {"--created-until", "1h"}).empty());
  CHECK(ids(schema, {"--created-from", "2026-01-01T00:00:00Z", "--kind", "report"}) == "5");
  CHECK(ids(schema, {"--finished-from", "1h"}).empty());
  CHECK(ids(schema, {"--dead-until", "1m"}).empty());
  const std::string page = run(schema, {"task", "list", "--limit", "2"}).out;
  CHECK(page.ends_with("next page: the same with --before 5\n"));
  CHECK(run(schema, {"task", "list", "--before", "3"}).out.find("next page") == std::string::npos);
  check_refused(run(schema, {"task", "list", "--created-from", "soon"}), 2, "--created-from is \"soon\"; allowed are times such as");
  check_refused(run(schema, {"task", "list", "--status", "pending,done"}), 2, "status is \"done\"");
}

TEST_CASE("task count tells how many there are of each") {
  Schema schema;
  CHECK(run(schema, {"task", "count"}).out == "no tasks\n");
  fill(schema);
  CHECK(run(schema, {"task", "count"}).out ==
        "QUEUE    KIND    STATUS     TASKS\n"
        "default  print   pending    1\n"
        "default  report  scheduled  1\n"
        "mail     email   pending    4\n"
        "6 tasks\n");
  CHECK(run_json(schema, {"task", "count", "--tenant", "acme"}) ==
        nlohmann::json({{"queue", "mail"}, {"kind", "email"}, {"status", "pending"}, {"tasks", 4}}));
}

TEST_CASE("many tasks are changed after a plan, and not by accident") {
  Schema schema;
  fill(schema);
  CHECK(run(schema, {"task", "cancel", "--kind", "email", "--plan"}).out ==
        "STATUS   TASKS  WOULD BE   FOR EXAMPLE\npending  4      cancelled  1, 2, 3, 4\nnothing was changed\n");
  CHECK(run_lines(schema, {"task", "delete", "1", "5", "6", "--plan"}).size() == 2);
  CHECK(run(schema, {"task", "cancel", "--kind", "nobody's", "--plan"}).out == "no tasks fit\n");
  check_refused(run(schema, {"task", "cancel", "--kind", "email"}), 2, "--yes is needed where nobody can be asked; --plan shows");
  check_refused(run(schema, {"task", "cancel", "--kind", "email", "--plan", "--yes"}), 2, "--plan");
  check_refused(run(schema, {"task", "cancel", "1", "--kind", "email", "--yes"}), 2, "id cannot be given together with a filter");
  check_refused(run(schema, {"task", "cancel", "--yes"}), 2, "id is missing; give ids, or a filter");
  check_refused(run(schema, {"task", "cancel", "--status", "completed", "--yes"}), 2, "status is completed; cancel takes pending");
  check_refused(run(schema, {"task", "reprioritise", "--kind", "email", "--yes"}), 2, "--priority");
  check_refused(run(schema, {"task", "reprioritise", "--kind", "email", "--priority", "101", "--yes"}), 2, "priority is 101");
  check_refused(run(schema, {"task", "reschedule", "--kind", "email", "--yes"}), 2, "--at or --delay is needed");
  check_refused(run(schema, {"task", "reschedule", "1", "--at", "soon"}), 2, "--at is \"soon\"");
  check_refused(run(schema, {"task", "reschedule", "1", "--delay", "36526d"}), 2, "--delay");
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status IN ('pending', 'scheduled') AND priority = 50") == 6);

  CHECK(run(schema, {"task", "cancel", "--kind", "email", "--yes"}).out == "4 tasks cancelled\n");
  CHECK(run_json(schema, {"task", "retry", "--kind", "email", "--status", "cancelled", "--yes"}) ==
        nlohmann::json({{"done", 4}, {"asked", 0}, {"running", 0}, {"held", 0}, {"refused", 0}}));
  CHECK(run(schema, {"task", "reprioritise", "--kind", "email", "--priority", "high", "--yes"}).out == "4 tasks reprioritised\n");
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE priority = 75") == 4);
  CHECK(run(schema, {"task", "reschedule", "--kind", "email", "--at", "2199-01-01T00:00:00Z", "--yes"}).out == "4 tasks rescheduled\n");
  CHECK(run(schema, {"task", "run-now", "--status", "scheduled", "--yes"}).out == "5 tasks made due\n");
  CHECK(run(schema, {"task", "delete", "--queue", "mail", "--yes"}).out == "4 tasks deleted\n");
  CHECK(schema.number("SELECT count(*) FROM tasks") == 2);
  CHECK(run(schema, {"doctor"}).code == 0);
}

TEST_CASE("one task is moved and deleted by its id") {
  Schema schema;
  const std::string id = enqueue(schema, {"greet"});
  CHECK(run(schema, {"task", "reprioritise", id, "--priority", "low"}).out == "task " + id + " is pending with priority 25\n");
  CHECK(run(schema, {"task", "reschedule", id, "--delay", "1h"}).out == "task " + id + " is scheduled\n");
  CHECK(run_json(schema, {"task", "run-now", id})["status"] == "pending");
  CHECK(run(schema, {"task", "cancel", id}).code == 0);
  check_refused(run(schema, {"task", "run-now", id}), 4, "task " + id + " is cancelled and cannot be run now");
  CHECK(run(schema, {"task", "delete", id}).out == "task " + id + " is deleted\n");
  for (const Words& words :
       {Words{"delete"}, Words{"run-now"}, Words{"reprioritise", "--priority", "1"}, Words{"reschedule", "--delay", "1s"}}) {
    Words all{"task"};
    all.insert(all.end(), words.begin(), words.end());
    all.push_back(id);
    check_refused(run(schema, all), 3, "there is no task " + id + "; millrace task list shows the latest");
  }
}

TEST_CASE("at a terminal somebody is asked, and only yes is yes") {
  Schema schema;
  fill(schema);
  int code = -1;
  const std::string no = at_terminal(schema, "\n", code);
  CHECK(code == 1);
  CHECK(no.find("Cancel 4 tasks? [y/N] ") != std::string::npos);
  CHECK(no.find("1, 2, 3, 4") != std::string::npos);
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'cancelled'") == 0);
  const std::string yes = at_terminal(schema, "y\n", code);
  CHECK(code == 0);
  CHECK(yes.find("4 tasks cancelled") != std::string::npos);
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'cancelled'") == 4);
}
