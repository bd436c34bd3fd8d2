// Named locks in SQL alone, with a clock that the test sets and sessions that it names.
#include "engine/worker_sql.hpp"
#include "support/wait.hpp"

using namespace millrace;
using namespace millrace::test;

namespace {

struct Attempt {
  bool acquired = false;
  std::int64_t token = 0;
  std::string owner{};
};

std::string acquire_sql(const std::string& name, const std::string& owner, const std::string& ttl = "30 seconds") {
  return fmt::format("SELECT acquired, token, owner, expires_at FROM acquire_lock('{}', '{}', '{}')", name, owner, ttl);
}
Attempt attempt_of(const postgres::Result& rows) {
  return {.acquired = rows.boolean(0, 0), .token = rows.integer(0, 1), .owner = std::string(rows.text(0, 2))};
}
template <class Link>
Attempt acquire(Link& link, const std::string& name, const std::string& owner) {
  return attempt_of(link.run(acquire_sql(name, owner)));
}

// The message with which it is refused as lost; empty if it is not.
std::string lost(Schema& schema, const std::string& call) {
  try {
    schema.connection().run("SELECT " + call);
  } catch (const DatabaseError& e) {
    if (e.sqlstate() != "MR001") throw;
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("one owner at a time; who holds it gets it again; a new holder's token is greater") {
  Schema schema;
  auto& link = schema.connection();
  const Attempt ours = acquire(link, "door", "ada");
  CHECK(ours.acquired);
  const Attempt theirs = acquire(link, "door", "grace");
  CHECK_FALSE(theirs.acquired);
  CHECK(theirs.token == 0);
  CHECK(theirs.owner == "ada");
  CHECK(acquire(link, "window", "grace").acquired);
  const auto again = link.run(acquire_sql("door", "ada", "1 hour"));
  CHECK(attempt_of(again).token == ours.token);
  CHECK(schema.value("SELECT concat_ws(' ', owner, token, expires_at - acquired_at > '59 minutes') FROM lock_holder('door')") ==
        fmt::format("ada {} t", ours.token));
  // A shorter extension does not take away what was promised.
  CHECK(schema.number(fmt::format("SELECT (extend_lock('door', {}, '1 second') > clock() + interval '59 minutes')::int", ours.token)) == 1);
  CHECK(schema.number(fmt::format("SELECT (extend_lock('door', {}, '1 day') > clock() + interval '23 hours')::int", ours.token)) == 1);
  CHECK(schema.number("SELECT count(*) FROM held_locks") == 2);

  CHECK(schema.value(fmt::format("SELECT release_lock('door', {})", ours.token + 1)) == "f");
  CHECK(schema.value(fmt::format("SELECT release_lock('window', {})", ours.token)) == "f");
  CHECK(schema.value(fmt::format("SELECT release_lock('door', {})", ours.token)) == "t");
  CHECK(schema.value(fmt::format("SELECT release_lock('door', {})", ours.token)) == "f");
  CHECK(schema.number("SELECT count(*) FROM lock_holder('door')") == 0);
  CHECK(lost(schema, fmt::format("assert_lock('door', {})", ours.token)) ==
        fmt::format("lock \"door\" is not held with token {} (any more): nobody holds it", ours.token));
  const Attempt next = acquire(link, "door", "ada");
  CHECK(next.acquired);
  CHECK(next.token > ours.token);
}

TEST_CASE("what is out of range is refused by name") {
  Schema schema;
  const std::string longest(128, 'x');
  const std::pair<std::string, const char*> cases[] = {
      {"acquire_lock('', 'a')", "name"},
      {fmt::format("acquire_lock('{}y', 'a')", longest), "name"},
      {"acquire_lock(NULL, 'a')", "name"},
      {"acquire_lock('a', '')", "owner"},
      {fmt::format("acquire_lock('a', '{}y')", longest), "owner"},
      {"acquire_lock('a', NULL)", "owner"},
      {"acquire_lock('a', 'a', '999 milliseconds')", "ttl"},
      {"acquire_lock('a', 'a', '24 hours 1 millisecond')", "ttl"},
      {"acquire_lock('a', 'a', '-5000000 years 1800000000 days 1 s')", "ttl"},
      {"acquire_lock('a', 'a', '1 month -29 days')", "ttl"},
      {"acquire_lock('a', 'a', NULL)", "ttl"},
      {"extend_lock('', 1)", "name"},
      {"extend_lock('a', 1, '-1 hour')", "ttl"},
      {"release_lock('', 1)", "name"},
      {"lock_holder('')", "name"},
      {"assert_lock('', 1)", "name"},
  };
  const auto strict = std::make_unique<postgres::Connection>(postgres::Dial{.url = schema.url(), .schema = schema.name()});
  for (const auto& one : cases) {
    CAPTURE(one.first);
    std::string field;
    try {
      strict->run("SELECT " + schema.quoted() + "." + one.first);
    } catch (const InvalidArgument& e) {
      field = e.field();
    }
    CHECK(field == one.second);
  }
  CHECK(schema.value(fmt::format("SELECT acquired FROM acquire_lock('{}', '{}', '1 day')", longest, longest)) == "t");
  CHECK(lost(schema, "extend_lock('a', NULL)").find("token null") != std::string::npos);
  CHECK(lost(schema, "assert_lock('a', NULL)").find("token null") != std::string::npos);
}

TEST_CASE("what has expired is lost: its holder can do nothing with its token, the next one's is greater") {
  Schema schema;
  auto& link = schema.connection();
  const auto token = acquire(link, "door", "ada").token;
  set_clock(schema, "29 seconds");
  CHECK_FALSE(acquire(link, "door", "grace").acquired);
  CHECK(lost(schema, fmt::format("assert_lock('door', {})", token)).empty());
  set_clock(schema, "31 seconds");
  CHECK(schema.number("SELECT count(*) FROM held_locks") == 0);
  CHECK(lost(schema, fmt::format("extend_lock('door', {})", token)).find("nobody holds it") != std::string::npos);
  CHECK(lost(schema, fmt::format("assert_lock('door', {})", token)).find("nobody holds it") != std::string::npos);
  // The same owner begins anew, because others may have seen that nobody held it.
  const Attempt again = acquire(link, "door", "ada");
  CHECK(again.token > token);
  set_clock(schema, "2 minutes");
  const Attempt next = acquire(link, "door", "grace");
  CHECK(next.acquired);
  CHECK(next.token > again.token);
  for (const auto old : {token, again.token}) {
    CHECK(lost(schema, fmt::format("extend_lock('door', {})", old)).find(fmt::format("grace holds it with token {}", next.token)) !=
          std::string::npos);
    CHECK(lost(schema, fmt::format("assert_lock('door', {})", old)).find("grace holds it") != std::string::npos);
    CHECK(schema.value(fmt::format("SELECT release_lock('door', {})", old)) == "f");
  }
  CHECK(schema.value("SELECT owner FROM lock_holder('door')") == "grace");
  set_clock(schema, "4 minutes");
  CHECK(schema.value(fmt::format("SELECT release_lock('door', {})", next.token)) == "f");
}

TEST_CASE("locks that expired long ago are tidied away, and tokens go on growing") {
  Schema schema;
  auto& link = schema.connection();
  const auto token = acquire(link, "door", "ada").token;
  set_clock(schema, "1 hour");
  CHECK(schema.number("SELECT tidy_locks()") == 0);
  acquire(link, "window", "ada");
  set_clock(schema, "61 minutes");
  CHECK(schema.number("SELECT tidy_locks()") == 1);
  CHECK(schema.number("SELECT count(*) FROM locks") == 1);
  CHECK(acquire(link, "door", "grace").token > token);
}

TEST_CASE("while a transaction that asserted it is open nobody else acquires it, and its holder can extend it") {
  Schema schema;
  auto& link = schema.connection();
  const auto token = acquire(link, "door", "ada").token;
  Session writer(schema);
  writer.script("BEGIN");
  writer.run(fmt::format("SELECT assert_lock('door', {})", token));

  Session extender(schema);
  extender.start(fmt::format("SELECT extend_lock('door', {}, '1 minute')", token));
  CHECK(extender.finish().empty());
  CHECK(acquire(extender, "door", "ada").token == token);
  // Another statement of the writer sees the new version of the row, and asserts it as well.
  writer.run(fmt::format("SELECT assert_lock('door', {})", token));

  set_clock(schema, "2 minutes");
  const Attempt refused = acquire(link, "door", "grace");
  CHECK_FALSE(refused.acquired);
  CHECK(refused.owner == "ada");
  set_clock(schema, "2 hours");
  CHECK(schema.number("SELECT tidy_locks()") == 0);
  extender.start(fmt::format("SELECT release_lock('door', {})", token));
  CHECK(extender.blocked(schema));
  CHECK(extender.finish() == "55P03");
  writer.script("COMMIT");
  CHECK(acquire(link, "door", "grace").acquired);
}

TEST_CASE("who asserts while somebody takes it over waits, and is refused") {
  Schema schema;
  const auto token = acquire(schema.connection(), "door", "ada").token;
  Session next(schema);
  // The zombie's transaction began before the lock expired, so by its clock it is held.
  Session zombie(schema);
  zombie.script("BEGIN");
  zombie.run("SELECT now()");
  schema.connection().run("UPDATE locks SET expires_at = now()");
  next.script("BEGIN");
  const auto newer = acquire(next, "door", "grace").token;
  CHECK(newer > token);
  zombie.start(fmt::format("SELECT assert_lock('door', {})", token));
  CHECK(zombie.blocked(schema));
  next.script("COMMIT");
  CHECK(zombie.finish() == "MR001");
  zombie.script("ROLLBACK");
}

TEST_CASE("an acquisition that is rolled back never was, and its token is not given again") {
  Schema schema;
  Session session(schema);
  session.script("BEGIN");
  const auto token = acquire(session, "door", "ada").token;
  session.script("ROLLBACK");
  CHECK(schema.number("SELECT count(*) FROM locks") == 0);
  CHECK(acquire(schema.connection(), "door", "grace").token > token);
}

TEST_CASE("tokens grow also where somebody came and went while another waited for the name") {
  Schema schema;
  Session first_one(schema), second_one(schema);
  first_one.script("BEGIN");
  const auto one = acquire(first_one, "door", "ada").token;
  second_one.start(acquire_sql("door", "grace"));
  REQUIRE(second_one.blocked(schema));
  first_one.run(fmt::format("SELECT release_lock('door', {})", one));
  const auto two = acquire(first_one, "door", "ada").token;
  first_one.run(fmt::format("SELECT release_lock('door', {})", two));
  first_one.script("COMMIT");
  CHECK(second_one.finish().empty());
  const Attempt three = attempt_of(second_one.rows());
  CHECK(three.acquired);
  CHECK(two > one);
  CHECK(three.token > two);
}

TEST_CASE("transactions that acquire in different order get an answer, not an error") {
  Schema schema;
  Session ada(schema), grace(schema);
  ada.script("BEGIN");
  grace.script("BEGIN");
  CHECK(acquire(ada, "a", "ada").acquired);
  CHECK(acquire(grace, "b", "grace").acquired);
  ada.start(acquire_sql("b", "ada"));
  REQUIRE(ada.blocked(schema));
  grace.start(acquire_sql("a", "grace"));
  CHECK(ada.finish().empty());
  CHECK(grace.finish().empty());
  CHECK_FALSE(attempt_of(ada.rows()).acquired);
  CHECK_FALSE(attempt_of(grace.rows()).acquired);
  CHECK(attempt_of(ada.rows()).owner.empty());
  ada.script("COMMIT");
  grace.script("COMMIT");
  CHECK(schema.value("SELECT string_agg(name || ' ' || owner, ', ' ORDER BY name) FROM held_locks") == "a ada, b grace");
}

TEST_CASE("above READ COMMITTED a lock that changed hands since the snapshot is refused with 40001") {
  Schema schema;
  auto& link = schema.connection();
  const auto token = acquire(link, "door", "ada").token;
  Session session(schema);
  const auto state_of = [&](const std::string& call) {
    session.script("BEGIN ISOLATION LEVEL REPEATABLE READ");
    session.run("SELECT count(*) FROM locks");
    const auto held = schema.number("SELECT token FROM locks");
    link.run(fmt::format("SELECT release_lock('door', {})", held));
    acquire(link, "door", "grace");
    session.start(call);
    std::string state = session.finish();
    session.script("ROLLBACK");
    return state;
  };
  CHECK(state_of(fmt::format("SELECT assert_lock('door', {})", token)) == "40001");
  CHECK(state_of(acquire_sql("door", "grace")) == "40001");
}
