#include "fault/evidence.hpp"

#include "support/wait.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>

namespace millrace::test {

using namespace std::chrono_literals;

int number_from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

Folder::Folder() {
  static std::atomic<int> counter{0};
  path = std::filesystem::temp_directory_path() / fmt::format("millrace-fault-{}-{}", ::getpid(), counter++);
  std::filesystem::create_directories(path);
}

Folder::~Folder() { std::filesystem::remove_all(path); }

void audit(Schema& schema) {
  schema.connection().script(fmt::format(
      "CREATE TABLE {0}.audit (id bigint, was text, became text, at timestamptz DEFAULT clock_timestamp());"
      "CREATE FUNCTION {0}.audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO {0}.audit (id, was, became) VALUES (new.id, "
      "old.status, new.status); RETURN NULL; END $$;"
      "CREATE TRIGGER audit AFTER UPDATE ON {0}.tasks FOR EACH ROW WHEN (old.status <> new.status) EXECUTE FUNCTION {0}.audit()",
      schema.quoted()));
}

std::int64_t count(Schema& schema, const std::string& what) {
  return schema.connection().run("SELECT count(*) FROM " + schema.quoted() + "." + what).integer(0, 0);
}

bool rescued(Schema& schema) {
  return eventually([&] {
    schema.connection().run("SELECT * FROM " + schema.quoted() + ".rescue()");
    return count(schema, "leases") == 0;
  });
}

std::set<std::int64_t> ended(const std::filesystem::path& ledger) {
  std::set<std::int64_t> out;
  std::ifstream lines(ledger);
  std::string what;
  std::int64_t id = 0, attempt = 0, lease = 0, pid = 0;
  while (lines >> what >> id >> attempt >> lease >> pid) {
    if (what == "end") out.insert(id);
  }
  return out;
}

}  // namespace millrace::test
