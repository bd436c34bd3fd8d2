// millrace kind: what workers declared, and the schema that enqueue checks.
#include "cli/command.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace millrace::test;

namespace {

void declare(Schema& schema) {
  schema.connection().run(
      R"(SELECT register_kinds('[
        {"kind": "mail", "alias_of": "send-email", "queue": "mail"},
        {"kind": "send-email", "queue": "mail", "priority": 75, "max_attempts": 3, "timeout_ms": 90000,
         "backoff": {"type": "fixed", "base": 5}, "schema": {"required": ["to"], "properties": {"to": {"type": "string"}}}}]'))");
}

}  // namespace

TEST_CASE("kind list, show and forget") {
  Schema schema;
  CHECK(run(schema, {"kind", "list"}).out == "no kinds are declared; a C++ worker declares those that it handles when it starts\n");
  declare(schema);
  const Ended listed = run(schema, {"kind", "list"});
  CHECK(listed.code == 0);
  CHECK(listed.out.find("mail (now send-email)  mail   -         -         -        -       20") != std::string::npos);
  CHECK(listed.out.find("send-email             mail   75        3         1m30s    yes     20") != std::string::npos);
  const Ended shown = run(schema, {"--json", "kind", "show", "send-email"});
  CHECK(shown.out.find(R"("backoff":{"base":5,"type":"fixed"},"timeout_ms":90000,"schema":{)") != std::string::npos);
  CHECK(run(schema, {"kind", "forget", "mail"}).out == "kind mail is forgotten\n");
  const Ended again = run(schema, {"kind", "forget", "mail"});
  CHECK(again.code == 3);
  CHECK(again.err == "millrace: no worker declared a kind \"mail\"\n");
  CHECK(run(schema, {"kind", "show", "mail"}).code == 3);
}

TEST_CASE("enqueue checks the schema that a worker declared, and takes its defaults") {
  Schema schema;
  declare(schema);
  const Ended refused = run(schema, {"enqueue", "send-email", R"({"to": 7})"});
  CHECK(refused.code == 2);
  CHECK(refused.err ==
        "millrace: args do not fit the schema of send-email: /to: Value type not permitted by 'type' constraint;"
        " see millrace kind show send-email\n");
  const Ended line = run(schema, {"enqueue", "send-email", "--lines"}, {.input = "{\"to\": \"ada\"}\n{}\n"});
  CHECK(line.code == 2);
  CHECK(line.err.find("args of line 2 do not fit the schema of send-email: /: Missing required property 'to'") != std::string::npos);
  CHECK(schema.number("SELECT count(*) FROM tasks") == 0);
  CHECK(run(schema, {"enqueue", "send-email", R"({"to": "ada"})"}).code == 0);
  CHECK(schema.value("SELECT concat_ws(' ', queue, priority, max_attempts, timeout) FROM tasks") == "mail 75 3 00:01:30");
}
