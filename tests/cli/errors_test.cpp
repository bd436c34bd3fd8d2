// What is wrong with the world, in one line that names what mends it.
#include "cli/command.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace millrace::test;

namespace {

const Words commands[] = {{"enqueue", "greet"},
                          {"task", "show", "1"},
                          {"task", "list"},
                          {"task", "cancel", "1"},
                          {"task", "retry", "1"},
                          {"task", "wait", "1"},
                          {"task", "logs", "1"},
                          {"enqueue", "greet", "--wait"},
                          {"stats"},
                          {"doctor"},
                          {"worker", "--exec", "greet=true"}};

void check_everywhere(const Start& start, int code, const std::string& part) {
  for (const Words& words : commands) {
    CAPTURE(words[0]);
    CAPTURE(words.back());
    check_refused(run_plain(words, start), code, part);
  }
}

// The suite's address with another database's name in it.
std::string other_database(const std::string& name) {
  std::string url = url_with_password();
  const std::size_t question = url.find('?');
  const std::size_t slash = url.rfind('/', question);
  return url.replace(slash + 1, question - slash - 1, name);
}

}  // namespace

TEST_CASE("without a schema every command names migrate up") {
  check_everywhere({.environment = {"MILLRACE_SCHEMA=not there"}}, 1,
                   "there is no Millrace in schema \"not there\"; run: millrace --schema 'not there' migrate up");
}

TEST_CASE("with a schema of something else every command names migrate up") {
  Schema schema;
  schema.connection().script("CREATE SCHEMA other_app");
  check_everywhere({.environment = {"MILLRACE_SCHEMA=other_app"}}, 1,
                   "there is no Millrace in schema \"other_app\"; run: millrace --schema 'other_app' migrate up");
  schema.connection().script("DROP SCHEMA other_app");
}

TEST_CASE("without a database every command says how to get one") {
  const Start start{.environment = {"MILLRACE_DATABASE=" + other_database("not_there")}};
  check_everywhere(start, 1, "database \"not_there\" does not exist; run: createdb not_there");
  check_refused(run_plain({"migrate", "up"}, start), 1, "createdb not_there");
}

TEST_CASE("without a server every command says how to get one") {
  const std::string secret = password;
  check_everywhere({.environment = {"MILLRACE_DATABASE=postgresql://me:" + secret + "@/x?host=/nowhere/at/all"}}, 1, "millrace dev up");
  check_refused(run_plain({"stats"}, {.environment = {"MILLRACE_DATABASE=postgresql://me:" + secret + "@localhost:1/x"}}), 1, "localhost");
  check_refused(run_plain({"stats"}, {.environment = {"MILLRACE_DATABASE=host=nowhere.invalid password=" + secret}}), 1, "nowhere.invalid");
}

TEST_CASE("an address that cannot be read is a usage error, and is not repeated") {
  const std::string secret = password;
  for (const std::string& url : {"postgresql://me:" + secret + "@[::1/x", "postgresql://me:" + secret + "@host:port/x?nonsense=1",
                                 "host=localhost passwort=" + secret, "me:" + secret + "@localhost", "password='" + secret,
                                 "postgres//me:" + secret + "@localhost/x", "postgresql://me:" + secret + "%zz@localhost/x"}) {
    check_everywhere({.environment = {"MILLRACE_DATABASE=" + url}}, 2, "");
    check_refused(run_plain({"--database", url, "stats"}), 2);
  }
}

TEST_CASE("an address in the wrong place is not repeated") {
  const std::string url = "postgresql://me:" + std::string(password) + "@localhost/x";
  check_refused(run_plain({"--databse", url, "stats"}), 2);
  check_refused(run_plain({"stats", url}), 2);
  check_refused(run_plain({url}), 2);
  check_refused(run_plain({"enqueue", "greet", "{}", url}), 2);
  check_refused(run_plain({"task", "list", "--limit", url}), 2);
  check_refused(run_plain({"task", "show", url}), 2);
  check_refused(run_plain({"worker", "--batch", "host=localhost password=" + std::string(password)}), 2);
}

TEST_CASE("schema names that cannot be are usage errors") {
  for (const std::string& name :
       {std::string(), std::string("pg_catalog"), std::string("$user"), std::string(64, 's'), std::string("\xff")}) {
    check_everywhere({.environment = {"MILLRACE_SCHEMA=public"}}, 1, "");  // there, but not ours
    check_refused(run_plain({"--schema", name, "stats"}), 2, "schema");
    check_refused(run_plain({"--schema", name, "worker", "--exec", "greet=true"}), 2, "schema");
    check_refused(run_plain({"--schema", name, "migrate", "up"}), 2, "schema");
  }
}

TEST_CASE("unknown nouns and verbs are usage errors") {
  check_refused(run_plain({"nonsense"}), 2, "nonsense");
  check_refused(run_plain({"task", "nonsense"}), 2, "nonsense");
  check_refused(run_plain({"--nonsense", "stats"}), 2, "--nonsense");
  for (const char* noun : {"task", "migrate", "dev"}) check_refused(run_plain({noun}), 2, noun);
}

TEST_CASE("every noun has help") {
  for (const Words& words : {Words{},
                             Words{"migrate"},
                             Words{"migrate", "up"},
                             Words{"migrate", "down"},
                             Words{"migrate", "status"},
                             Words{"migrate", "print"},
                             Words{"enqueue"},
                             Words{"task"},
                             Words{"task", "show"},
                             Words{"task", "list"},
                             Words{"task", "cancel"},
                             Words{"task", "retry"},
                             Words{"worker"},
                             Words{"stats"},
                             Words{"doctor"},
                             Words{"bench"},
                             Words{"dev"},
                             Words{"dev", "up"},
                             Words{"dev", "down"},
                             Words{"dev", "status"},
                             Words{"dev", "url"},
                             Words{"dev", "psql"}}) {
    Words asking = words;
    asking.emplace_back("--help");
    const Ended ended = run_plain(asking);
    INFO(ended.out << ended.err);
    CHECK(ended.code == 0);
    CHECK(ended.out.find("Usage: millrace") != std::string::npos);
    CHECK(ended.err == "");
  }
}

TEST_CASE("alone, millrace prints its help") {
  const Ended ended = run_plain(Words{});
  CHECK(ended.code == 0);
  CHECK(ended.out == run_plain({"--help"}).out);
  CHECK(ended.err == "");
}

TEST_CASE("--version prints the version") {
  const Ended ended = run_plain({"--version"});
  CHECK(ended.code == 0);
  CHECK(ended.out.find('.') != std::string::npos);
}
