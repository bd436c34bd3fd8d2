// millrace worker --exec: what a program gets, and what becomes of its answer.
#include "cli/command.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace millrace::test;

namespace {

struct House {
  Schema schema{};

  std::string enqueue(Words more = {}, const std::string& args = "{}") {
    Words words{"run", "-", "--retry", "fixed(0s)"};
    words.insert(words.end(), more.begin(), more.end());
    return millrace::test::enqueue(schema, words, {.input = args});
  }
  // Runs all tasks with this program.
  void work(const std::string& program) {
    const Ended ended = run(schema, {"worker", "--queue", "default=2", "--exec", "run=" + program, "--until-empty"});
    INFO(ended.err);
    REQUIRE(ended.code == 0);
  }
  std::string of(const std::string& id, const std::string& what) { return schema.value("SELECT " + what + " FROM tasks WHERE id = " + id); }
};

}  // namespace

TEST_CASE("args arrive on standard input byte for byte") {
  House house;
  const std::string args = R"({"text": "a\nb  \"c\" ü 漢", "number": 12345678901234567890.5, "list": [1, 2, {"deep": null}], "empty": ""})";
  const std::string id = house.enqueue({}, args);
  house.work("printf '{\"hex\": \"%s\"}' \"$(od -An -v -tx1 | tr -d ' \\n')\"");
  CHECK(house.of(id, "result->>'hex'") == house.of(id, "encode(convert_to(args::text, 'UTF8'), 'hex')"));
}

TEST_CASE("large args arrive whole, and a program need not read them") {
  House house;
  const std::string id = house.enqueue({}, R"({"a": ")" + std::string(1'000'000, 'x') + R"("})");
  house.work("wc -c");
  CHECK(house.of(id, "result") == house.of(id, "octet_length(args::text)"));
  const std::string unread = house.enqueue({}, R"({"a": ")" + std::string(1'000'000, 'x') + R"("})");
  house.work("exec <&-; echo '\"unread\"'");
  CHECK(house.of(unread, "result") == "\"unread\"");
}

TEST_CASE("a program tells its progress on standard error, and everything else is logged") {
  House house;
  const std::string id = house.enqueue({"--max-attempts", "1"});
  house.work(
      "printf 'begin\\nmillrace: progress 3/10 third of ten\\nmillrace: progress x\\nmillrace: progress 4\\nmillrace: progress 5/10 "
      "half\\nend\\n' >&2; exit 1");
  CHECK(house.schema.value("SELECT concat_ws(' ', done, total, note) FROM task_progress WHERE task = " + id) == "5 10 half");
  CHECK(house.schema.value("SELECT string_agg(line, '|' ORDER BY seq) FROM task_logs WHERE task = " + id) ==
        "begin|millrace: progress x|end");
  CHECK(house.of(id, "errors->-1->>'message'") == "exit status 1: begin\nmillrace: progress x\nend");
}

TEST_CASE("exit status 77 cancels, with the program's last words as the reason") {
  House house;
  const std::string id = house.enqueue();
  house.work("echo 'unsubscribed' >&2; exit 77");
  CHECK(house.of(id, "status") == "cancelled");
  CHECK(house.of(id, "reason") == "exit status 77: unsubscribed");
  CHECK(house.of(id, "errors IS NULL AND dead_at IS NULL") == "t");
}

TEST_CASE("the environment tells which run it is") {
  House house;
  const std::string id = house.enqueue({"--queue", "default", "--max-attempts", "7"});
  house.work(
      "test $MILLRACE_ATTEMPT = 2 || exit 75; printf '[\"%s\", \"%s\", \"%s\", %s, %s, %s, \"%s\", \"%s\"]' $MILLRACE_TASK_ID"
      " $MILLRACE_KIND $MILLRACE_QUEUE $MILLRACE_ATTEMPT $MILLRACE_MAX_ATTEMPTS $MILLRACE_LEASE $MILLRACE_WORKER $MILLRACE_SCHEMA");
  CHECK(house.of(id, "result") == house.of(id, "jsonb_build_array(id::text, kind, queue, attempt, max_attempts, lease, worker::text, '" +
                                                   house.schema.name() + "')"));
  CHECK(house.of(id, "attempt") == "2");
}

TEST_CASE("the worker's own settings, and the database's password, stay out of the program's environment") {
  House house;
  const std::string id = house.enqueue();
  house.work("env | grep -c -e MILLRACE_DATABASE -e s3cr3t; true");
  CHECK(house.of(id, "result") == "0");
}

TEST_CASE("the result is the last line that is not empty, if it is JSON") {
  House house;
  const std::pair<std::string, std::string> cases[] = {
      {"echo '{\"a\": 1}'", "{\"a\": 1}"},
      {"echo working; echo '[1, 2]'", "[1, 2]"},
      {"printf '\"no line end\"'", "\"no line end\""},
      {"printf '12\\n\\n  \\n'", "12"},
      {"echo '{\"a\": 1}'; echo done", ""},
      {"echo 'not JSON'", ""},
      {"true", ""},
      {"echo '{} {}'", ""},
      {"printf '\"\\377\"\\n'", ""},
      {"echo '\"\\\\u0000\"'", ""},
      {"echo null", "null"},
      {"seq 1 300000; echo '\"after much\"'", "\"after much\""},
      {"seq 1 300000 >&2; echo '\"after much noise\"'", "\"after much noise\""},
  };
  for (const auto& one : cases) {
    CAPTURE(one.first);
    const std::string id = house.enqueue();
    house.work(one.first);
    CHECK(house.of(id, "status") == "completed");
    CHECK(house.of(id, "result") == one.second);
  }
}

TEST_CASE("the exit code decides") {
  House house;
  struct Case {
    std::string program;
    std::string status;
    std::string attempts;
    std::string message;
  };
  // Two attempts each: the first may fail, the second ends the task.
  for (const Case& one : {
           Case{"true", "completed", "1", ""},
           Case{"test $MILLRACE_ATTEMPT = 2 || exit 75", "completed", "2", "exit status 75"},
           Case{"test $MILLRACE_ATTEMPT = 2 || { echo 'try again' >&2; exit 75; }", "completed", "2", "exit status 75: try again"},
           Case{"echo 'no such user' >&2; exit 65", "failed", "1", "exit status 65: no such user"},
           Case{"exit 1", "failed", "2", "exit status 1"},
           Case{"exit 255", "failed", "2", "exit status 255"},
           Case{"kill -9 $$", "failed", "2", "killed by signal 9 (Killed)"},
           Case{"echo why >&2; kill -SEGV $$", "failed", "2", "killed by signal 11 (Segmentation fault): why"},
           Case{"echo '{}'; exit 1", "failed", "2", "exit status 1"},
       }) {
    CAPTURE(one.program);
    const std::string id = house.enqueue({"--max-attempts", "2"});
    house.work(one.program);
    CHECK(house.of(id, "status") == one.status);
    CHECK(house.of(id, "attempt") == one.attempts);
    CHECK(house.of(id, "coalesce(errors->-1->>'message', '')") == one.message);
    CHECK(house.of(id, "result") == "");
  }
}

TEST_CASE("of a long standard error the end is kept") {
  House house;
  const std::string id = house.enqueue({"--max-attempts", "1"});
  house.work("seq 1 100000 >&2; printf 'the ü\\377 reason\\n\\n' >&2; exit 9");
  CHECK(house.of(id, "errors->0->>'message' LIKE 'exit status 9: %99999_100000_the ü_ reason'") == "t");
  CHECK(house.of(id, "length(errors->0->>'message') BETWEEN 1000 AND 4096") == "t");
}

TEST_CASE("a program that there is not is a failed attempt that names it") {
  House house;
  const std::string id = house.enqueue({"--max-attempts", "1"});
  house.work("/not/there --at all");
  CHECK(house.of(id, "status") == "failed");
  CHECK(house.of(id, "errors->0->>'message' LIKE 'exit status 127: %/not/there%not found'") == "t");
}

TEST_CASE("each kind has its program") {
  Schema schema;
  const std::string one = enqueue(schema, {"one"});
  const std::string two = enqueue(schema, {"two", "--queue", "other"});
  const Ended ended = run(schema, {"worker", "--queue", "default=1", "--queue", "other=1", "--exec", "one=echo 1", "--exec",
                                   "two=x=2; echo $x", "--until-empty"});
  CHECK(ended.code == 0);
  CHECK(schema.value("SELECT result FROM tasks WHERE id = " + one) == "1");
  CHECK(schema.value("SELECT result FROM tasks WHERE id = " + two) == "2");
}

TEST_CASE("a worker refuses options that it cannot serve") {
  Schema schema;
  for (const Words& words :
       {Words{}, Words{"--exec", "greet"}, Words{"--exec", "=true"}, Words{"--exec", "greet="},
        Words{"--exec", "greet=true", "--exec", "greet=false"}, Words{"--exec", "greet=true", "--queue", "mail=0"},
        Words{"--exec", "greet=true", "--queue", "mail=1001"}, Words{"--exec", "greet=true", "--queue", "mail=x"},
        Words{"--exec", "greet=true", "--queue", "=1"}, Words{"--exec", "greet=true", "--queue", "a=1", "--queue", "a=1"},
        Words{"--exec", "greet=true", "--lease-ttl", "0s"}, Words{"--exec", "greet=true", "--heartbeat", "1h"},
        Words{"--exec", "greet=true", "--poll", "0ms"}, Words{"--exec", "greet=true", "--batch", "0"},
        Words{"--exec", "greet=true", "--grace", "soon"}}) {
    Words all{"worker"};
    all.insert(all.end(), words.begin(), words.end());
    CAPTURE(all.back());
    check_refused(run(schema, all), 2);
  }
}
