// millrace migrate: there and back.
#include "cli/command.hpp"

#include <millrace/migrate.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace millrace::test;

namespace {

// A schema that migrate itself makes and takes away: the test's own schema only lends its name.
struct Empty {
  Schema schema{};
  Empty() { REQUIRE(run(schema, {"migrate", "down", "--to", "0"}).code == 0); }
  // What is dropped at the end must be there.
  ~Empty() { schema.connection().script("CREATE SCHEMA IF NOT EXISTS " + schema.quoted()); }
  Empty(const Empty&) = delete;
  Empty& operator=(const Empty&) = delete;
  Empty(Empty&&) = delete;
  Empty& operator=(Empty&&) = delete;

  std::string state(const std::string& wanted) {
    const auto all = run_json(schema, {"migrate", "status"});
    return std::to_string(std::count_if(all.begin(), all.end(), [&](const auto& one) { return one["state"] == wanted; }));
  }
};

const std::string total = std::to_string(millrace::embedded_migrations().size());

}  // namespace

TEST_CASE("migrate up, status and down go there and back") {
  Empty empty;
  CHECK(empty.state("pending") == total);

  const Ended up = run(empty.schema, {"migrate", "up"});
  CHECK(up.code == 0);
  CHECK(std::to_string(std::count(up.out.begin(), up.out.end(), '\n')) == total);
  CHECK(up.out.starts_with("applied 0001 foundation\n"));
  CHECK(empty.state("applied") == total);
  CHECK(run(empty.schema, {"migrate", "up"}).out == "nothing to apply\n");

  const auto down = run_json(empty.schema, {"migrate", "down", "--to", "1"});
  CHECK(down["schema"] == empty.schema.name());
  CHECK(down["migrations"].back() == nlohmann::json({{"version", 2}, {"name", "tables"}, {"done", "reverted"}}));
  CHECK(empty.state("applied") == "1");
  CHECK(run(empty.schema, {"migrate", "down", "--to", "0"}).code == 0);
  CHECK(empty.schema.number("SELECT count(*) FROM pg_namespace WHERE nspname = '" + empty.schema.name() + "'") == 0);
  CHECK(run(empty.schema, {"migrate", "down", "--to", "0"}).out == "nothing to revert\n");
}

TEST_CASE("migrate up --to stops there, and the rest says what is missing") {
  Empty empty;
  CHECK(run_json(empty.schema, {"migrate", "up", "--to", "3"})["migrations"].size() == 3);
  CHECK(empty.state("applied") == "3");
  for (const Words& words : {Words{"stats"}, Words{"doctor"}, Words{"task", "retry", "1"}, Words{"worker", "--exec", "greet=true"}}) {
    CAPTURE(words[0]);
    const Ended ended = run(empty.schema, words);
    check_refused(ended, 1, "lacks migration 0004 claim of " + total + "; run: millrace --schema '" + empty.schema.name() + "' migrate up");
  }
  CHECK(run(empty.schema, {"migrate", "up"}).code == 0);
  CHECK(run(empty.schema, {"stats"}).code == 0);
}

TEST_CASE("migrate print needs no database, and prints a range") {
  Empty empty;
  const Ended printed = run(empty.schema, {"migrate", "print"}, {.environment = {"MILLRACE_DATABASE=postgresql://nowhere.invalid/none"}});
  CHECK(printed.code == 0);
  CHECK(printed.out.find('"' + empty.schema.name() + '"') != std::string::npos);
  const Ended part = run(empty.schema, {"migrate", "print", "--from", "3", "--to", "4"});
  CHECK(part.out.find("claim") != std::string::npos);
  CHECK(part.out.size() < printed.out.size() / 2);
}

TEST_CASE("migrate refuses versions that there are not") {
  Empty empty;
  for (const Words& words :
       {Words{"migrate", "up", "--to", "99"}, Words{"migrate", "up", "--to", "-1"}, Words{"migrate", "down", "--to", "99"},
        Words{"migrate", "down"}, Words{"migrate", "up", "--to", "x"}, Words{"migrate", "print", "--from", "99"}}) {
    CAPTURE(words[1]);
    CAPTURE(words.back());
    check_refused(run(empty.schema, words), 2);
  }
}
