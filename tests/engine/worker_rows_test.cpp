// What people ask of workers, and hold of their rows, against the calls by which a worker stays alive.
#include <vector>

#include "engine/worker_sql.hpp"
#include "support/wait.hpp"

using namespace millrace;
using namespace millrace::test;

namespace {

std::string heartbeat_sql(const char* worker) { return fmt::format("SELECT registered FROM heartbeat('{}', '{{}}')", worker); }
std::string wish(Schema& schema) { return schema.value("SELECT wish FROM live_workers"); }

}  // namespace

TEST_CASE("who asks something of a worker in a transaction that stays open holds up none of its calls") {
  Schema schema;
  enroll(schema, first);
  Session person(schema);
  for (const char* ask : {"pause_worker('w')", "resume_worker('w')", "stop_worker('w')"}) {
    CAPTURE(ask);
    person.script("BEGIN");
    person.run(fmt::format("SELECT {}", ask));
    Session worker(schema);
    for (const std::string& call :
         {heartbeat_sql(first), fmt::format("SELECT want_wakes('{}', true)", first), fmt::format("SELECT want_wakes('{}', false)", first),
          fmt::format("SELECT attend_wish('{}', 'paused')", first), fmt::format("SELECT attend_wish('{}', 'running')", first),
          fmt::format("SELECT attach_session('{}')", first), std::string("SELECT rescue()"), std::string("SELECT tidy()")}) {
      CAPTURE(call);
      worker.start(call);
      CHECK(worker.finish().empty());
    }
    person.script("COMMIT");
  }
  CHECK(wish(schema) == "stop");
}

TEST_CASE("what is asked of a worker is answered until it is gone, and a stop is not taken back") {
  Schema schema;
  enroll(schema, first);
  const auto asked = [&] { return schema.value(fmt::format("SELECT attend_wish('{}', 'running')", first)); };
  CHECK(asked() == "run");
  CHECK(wish(schema) == "run");
  schema.connection().run("SELECT pause_worker('w')");
  CHECK(asked() == "pause");
  schema.connection().run("SELECT resume_worker('w')");
  CHECK(asked() == "run");
  schema.connection().run("SELECT stop_worker('w')");
  CHECK(asked() == "stop");
  Session person(schema);
  person.start("SELECT resume_worker('w')");
  CHECK(person.finish() == "MR003");
  CHECK(wish(schema) == "stop");
  schema.connection().run(fmt::format("SELECT deregister_worker('{}')", first));
  CHECK(schema.number("SELECT count(*) FROM worker_wishes") == 0);
  // Taken for dead, it registers again: what was asked of it went with its row.
  enroll(schema, first);
  schema.connection().run("SELECT pause_worker('w')");
  schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 hour'");
  CHECK(schema.number("SELECT dead_workers FROM rescue()") == 1);
  enroll(schema, first);
  CHECK(asked() == "run");
}

TEST_CASE("what is asked of a worker while it goes holds up no rescue, and is tidied away") {
  Schema schema;
  enroll(schema, first);
  schema.connection().run("SELECT pause_worker('w')");
  Session person(schema);
  person.script("BEGIN");
  person.run("SELECT resume_worker('w')");
  schema.connection().run("UPDATE workers SET seen_at = now() - interval '1 hour'");
  CHECK(schema.number("SELECT dead_workers FROM rescue()") == 1);
  person.script("COMMIT");
  CHECK(schema.number("SELECT count(*) FROM worker_wishes") == 1);
  schema.connection().run("SELECT tidy()");
  CHECK(schema.number("SELECT count(*) FROM worker_wishes") == 0);
}

TEST_CASE("a worker's row that a person holds makes its calls fail soon, so that none writes a time that is over") {
  Schema schema;
  enroll(schema, first);
  Session person(schema);
  person.script("BEGIN");
  person.run("SELECT FROM workers FOR UPDATE");
  Session worker(schema);
  worker.script("SET statement_timeout = '20s'");
  for (const std::string& call :
       {heartbeat_sql(first), fmt::format("SELECT want_wakes('{}', true)", first), fmt::format("SELECT attend_wish('{}', 'paused')", first),
        fmt::format("SELECT deregister_worker('{}')", first),
        fmt::format("SELECT register_worker('{}', 'w', 'h', 1, '0', '{{default}}', '30 seconds')", first)}) {
    CAPTURE(call);
    worker.start(call);
    CHECK(worker.finish() == "55P03");
  }
  person.script("COMMIT");
  CHECK(schema.value(heartbeat_sql(first)) == "t");
  CHECK(schema.number("SELECT count(*) FROM workers WHERE seen_at > now() - interval '10 seconds'") == 1);
}

TEST_CASE("sessions of another role are neither taken for ended nor ended by whoever may not know them; others end them") {
  Schema schema;
  auto& link = schema.connection();
  const std::string owner = schema.name() + "_owner";
  const std::string stranger = schema.name() + "_stranger";
  for (const std::string& role : {owner, stranger}) {
    link.script(
        fmt::format("CREATE ROLE \"{0}\" LOGIN; GRANT USAGE ON SCHEMA {1} TO \"{0}\"; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL "
                    "TABLES IN SCHEMA {1} TO \"{0}\"",
                    role, schema.quoted()));
  }
  const auto as = [&](const std::string& role) {
    const std::string url = schema.url() + (schema.url().find('?') == std::string::npos ? '?' : '&') + "user=" + role;
    auto session = std::make_unique<postgres::Connection>(postgres::Dial{.url = url, .application = "millrace test", .schema = ""});
    session->script(fmt::format("SET search_path = {}, public", schema.quoted()));
    return session;
  };
  {
    const auto stuck = as(owner);
    const auto alive = [&] {
      return schema.number(fmt::format("SELECT count(*) FROM pg_stat_activity WHERE pid = {}", stuck->backend_pid()));
    };
    const auto die = [&] { link.run("UPDATE workers SET seen_at = now() - interval '1 hour'"); };
    enroll(schema, first);
    stuck->run(fmt::format("SELECT attach_session('{}')", first));
    const auto other = as(stranger);
    other->run(fmt::format("SELECT attach_session('{}')", first));
    CHECK(schema.number("SELECT count(*) FROM worker_sessions") == 2);
    die();
    CHECK(other->run("SELECT dead_workers FROM rescue()").integer(0, 0) == 1);
    CHECK(alive() == 1);
    enroll(schema, first);
    stuck->run(fmt::format("SELECT attach_session('{}')", first));
    link.script(fmt::format("GRANT pg_signal_backend, pg_read_all_stats TO \"{}\"", stranger));
    die();
    CHECK(as(stranger)->run("SELECT dead_workers FROM rescue()").integer(0, 0) == 1);
    CHECK(eventually([&] { return alive() == 0; }));
  }
  // A session whose start its own role may not see is not attached; that is no error.
  Session disguised(schema);
  disguised.script(fmt::format("SET ROLE \"{}\"", owner));
  disguised.run(fmt::format("SELECT attach_session('{}')", first));
  disguised.script("RESET ROLE");
  CHECK(schema.number("SELECT count(*) FROM worker_sessions") == 0);
  link.script(fmt::format("DROP OWNED BY \"{0}\", \"{1}\"; DROP ROLE \"{0}\", \"{1}\"", owner, stranger));
}
