// Keys under concurrency and rollback: the races by named sessions, and a crowd of threads.
#include "engine/worker_sql.hpp"
#include "support/wait.hpp"

#include <millrace/error.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <latch>
#include <map>
#include <mutex>
#include <random>
#include <vector>

using namespace millrace;
using namespace millrace::test;

namespace {

const std::string unique_x = "SELECT id, created FROM enqueue_once('k', unique_key => 'x')";
const std::string key_a = "SELECT id, created FROM enqueue_once('k', key => 'a')";

std::int64_t id_in(const Session& session) { return session.rows().integer(0, 0); }
bool created_in(const Session& session) { return session.rows().boolean(0, 1); }

}  // namespace

TEST_CASE("the second waits for the first: after its rollback it creates, after its commit it gets its task") {
  for (const std::string& call : {unique_x, key_a, std::string("SELECT id, created FROM enqueue_once('k', throttle => '1 hour')")}) {
    CAPTURE(call);
    Schema schema;
    Session winner(schema), waiter(schema);
    winner.script("BEGIN");
    const auto gone = winner.run(call).integer(0, 0);
    waiter.start(call);
    CHECK(waiter.blocked(schema));
    winner.script("ROLLBACK");
    CHECK(waiter.finish() == "");
    CHECK(created_in(waiter));
    CHECK(id_in(waiter) != gone);
    const auto live = id_in(waiter);
    CHECK(schema.number("SELECT count(*) FROM tasks") == 1);

    schema.connection().run("DELETE FROM task_keys");
    winner.script("BEGIN");
    const auto made = winner.run(call).integer(0, 0);
    CHECK(made != live);
    waiter.start(call);
    CHECK(waiter.blocked(schema));
    winner.script("COMMIT");
    CHECK(waiter.finish() == "");
    CHECK_FALSE(created_in(waiter));
    CHECK(id_in(waiter) == made);
    CHECK(schema.number("SELECT count(*) FROM tasks") == 2);
  }
}

TEST_CASE("the first rolls back to a savepoint and goes on: the second need not wait for its end") {
  Schema schema;
  Session winner(schema), waiter(schema);
  winner.script("BEGIN; SAVEPOINT s");
  winner.run(unique_x);
  waiter.start(unique_x);
  CHECK(waiter.blocked(schema));
  winner.script("ROLLBACK TO s");
  CHECK(waiter.finish() == "");
  CHECK(created_in(waiter));
  winner.script("COMMIT");
}

TEST_CASE("two that take over the key of an ended task: one creates, the other gets that one") {
  for (const bool commits : {true, false}) {
    CAPTURE(commits);
    Schema schema;
    const auto old = schema.number(unique_x);
    schema.connection().run(fmt::format("SELECT cancel({})", old));
    Session winner(schema), waiter(schema);
    winner.script("BEGIN");
    const auto made = winner.run(unique_x).integer(0, 0);
    waiter.start(unique_x);
    CHECK(waiter.blocked(schema));
    winner.script(commits ? "COMMIT" : "ROLLBACK");
    CHECK(waiter.finish() == "");
    CHECK(created_in(waiter) == !commits);
    CHECK((id_in(waiter) == made) == commits);
    CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'pending'") == 1);
  }
}

TEST_CASE("completing a task and enqueuing its unique key do not wait for each other, and the answer is true") {
  Schema schema;
  enroll(schema, first);
  const auto task = schema.number(unique_x);
  const auto lease = lease_of(schema.connection().run(claim_sql(first)));
  Session worker(schema), enqueuer(schema);
  worker.script("BEGIN");
  worker.run(complete_sql(first, std::to_string(task), std::to_string(lease)));
  // Not committed: it is live.
  enqueuer.start(unique_x);
  CHECK(enqueuer.finish() == "");
  CHECK(id_in(enqueuer) == task);
  CHECK_FALSE(created_in(enqueuer));
  worker.script("COMMIT");
  enqueuer.start(unique_x);
  CHECK(enqueuer.finish() == "");
  CHECK(created_in(enqueuer));
  CHECK(id_in(enqueuer) != task);
}

TEST_CASE("keys in different order: one of the two is ended as a deadlock, and repeated it gets the other's tasks") {
  Schema schema;
  Session one(schema), two(schema);
  const auto call = [](const char* key) { return fmt::format("SELECT id, created FROM enqueue_once('k', key => '{}')", key); };
  one.script("BEGIN; SET LOCAL deadlock_timeout = '50ms'");
  two.script("BEGIN; SET LOCAL deadlock_timeout = '50ms'");
  one.run(call("a"));
  two.run(call("b"));
  one.start(call("b"));
  CHECK(one.blocked(schema));
  two.start(call("a"));
  // Whoever is ended lets the other one through.
  const std::string first_end = one.finish();
  if (first_end.empty()) one.script("COMMIT");
  const std::string second_end = two.finish();
  if (second_end.empty()) two.script("COMMIT");
  CHECK(int{first_end == "40P01"} + int{second_end == "40P01"} == 1);
  CHECK((first_end.empty() || second_end.empty()));
  Session& loser = first_end.empty() ? two : one;
  loser.script("ROLLBACK");
  CHECK(loser.run(call("b")).boolean(0, 1) == false);
  CHECK(loser.run(call("a")).boolean(0, 1) == false);
  CHECK(schema.number("SELECT count(*) FROM tasks") == 2);
}

TEST_CASE("REPEATABLE READ: who cannot see the key is refused with 40001, and never makes a second live task") {
  Schema schema;
  Session old(schema);
  const auto begin = [&] {
    old.script("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ");
    old.run("SELECT count(*) FROM tasks");
  };
  old.script("BEGIN");
  begin();
  const auto task = schema.number(unique_x);  // inserted since
  old.start(unique_x);
  CHECK(old.finish() == "40001");
  begin();
  schema.connection().run(fmt::format("SELECT cancel({})", task));
  old.start(unique_x);  // an answer as old as the snapshot
  CHECK(old.finish() == "");
  CHECK_FALSE(created_in(old));
  begin();
  schema.connection().run(fmt::format("SELECT retry({})", task));  // revived since
  old.start(unique_x);
  CHECK(old.finish() == "40001");
  old.script("ROLLBACK");
  schema.connection().run(fmt::format("SELECT cancel({})", task));
  begin();
  CHECK(schema.value("SELECT created FROM enqueue_once('k', unique_key => 'x')") == "t");  // taken over since
  old.start(unique_x);
  CHECK(old.finish() == "40001");
  CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'pending'") == 1);
}

TEST_CASE("retry against an enqueue of the same unique key: one of them, whoever is first") {
  for (const bool retry_first : {true, false}) {
    CAPTURE(retry_first);
    Schema schema;
    const auto task = schema.number(unique_x);
    schema.connection().run(fmt::format("SELECT cancel({})", task));
    const std::string retry = fmt::format("SELECT retry({})", task);
    Session one(schema), two(schema);
    one.script("BEGIN");
    one.run(retry_first ? retry : unique_x);
    two.start(retry_first ? unique_x : retry);
    CHECK(two.blocked(schema));
    one.script("COMMIT");
    const std::string end = two.finish();
    CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'pending'") == 1);
    if (retry_first) {
      CHECK(end == "");
      CHECK(id_in(two) == task);
      CHECK_FALSE(created_in(two));
    } else {
      CHECK(end != "");
    }
    consistent(schema);
  }
}

TEST_CASE("retry while the task is still ending: its key is taken before anybody else can, or stays with who has it") {
  for (const bool enqueued_first : {false, true}) {
    CAPTURE(enqueued_first);
    Schema schema;
    enroll(schema, first);
    const auto task = schema.number("SELECT id FROM enqueue_once('k', unique_key => 'x', max_attempts => 1)");
    const auto lease = lease_of(schema.connection().run(claim_sql(first)));
    const std::string fails = fmt::format("SELECT * FROM fail('{}', '{{{}}}', '{{{}}}', '{{no}}')", first, task, lease);
    Session worker(schema), person(schema), enqueuer(schema);
    worker.script("BEGIN");
    worker.run(fails);
    person.script("BEGIN; SET LOCAL lock_timeout = '20s'");
    if (enqueued_first) {
      worker.script("COMMIT");
      enqueuer.script("BEGIN");
      enqueuer.run(unique_x);
    }
    // To the first it still seems to run, and it waits for its row; the second waits for the key.
    person.start(fmt::format("SELECT retry({})", task));
    CHECK(person.blocked(schema));
    (enqueued_first ? enqueuer : worker).script("COMMIT");
    const std::string end = person.finish();
    if (enqueued_first) {
      CHECK(end == "MR003");
      person.script("ROLLBACK");
    } else {
      CHECK(end == "");
      enqueuer.start(unique_x);  // the retry is not committed yet: this has to wait for what becomes of it
      CHECK(enqueuer.blocked(schema));
      person.script("COMMIT");
      CHECK(enqueuer.finish() == "");
      CHECK_FALSE(created_in(enqueuer));
      CHECK(id_in(enqueuer) == task);
    }
    CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'pending'") == 1);
    consistent(schema);
  }
}

TEST_CASE("cancelling while the task is replaced leaves no ticket behind, wherever the new one is") {
  for (const char* how : {"priority => 80", "queue => 'other'", "priority => 50"}) {
    for (const bool commits : {true, false}) {
      CAPTURE(how);
      CAPTURE(commits);
      Schema schema;
      const std::string call = "SELECT id, created, replaced FROM enqueue_once('k', unique_key => 'x', run_at => '2199-01-01'";
      const auto task = schema.number(call + ")");
      Session replacer(schema), person(schema);
      replacer.script("BEGIN");
      CHECK(replacer.run(call + ", replace => true, " + how + ")").boolean(0, 2));
      person.start(fmt::format("SELECT cancel({})", task));
      CHECK(person.blocked(schema));
      replacer.script(commits ? "COMMIT" : "ROLLBACK");
      CHECK(person.finish() == "");
      CHECK(status(schema, static_cast<int>(task)) == "cancelled");
      CHECK(schema.number("SELECT count(*) FROM tickets") == 0);
      consistent(schema);
    }
  }
}

TEST_CASE("replacing while the task is cancelled makes a new one, unless the cancellation is taken back") {
  for (const bool commits : {true, false}) {
    CAPTURE(commits);
    Schema schema;
    const std::string call =
        "SELECT id, created, replaced FROM enqueue_once('k', unique_key => 'x', run_at => '2199-01-01', replace => true)";
    const auto task = schema.number(call);
    Session person(schema), replacer(schema);
    person.script("BEGIN");
    person.run(fmt::format("SELECT cancel({})", task));
    replacer.start(call);
    CHECK(replacer.blocked(schema));
    person.script(commits ? "COMMIT" : "ROLLBACK");
    CHECK(replacer.finish() == "");
    CHECK(created_in(replacer) == commits);
    CHECK(replacer.rows().boolean(0, 2) == !commits);
    CHECK(schema.number("SELECT count(*) FROM tasks WHERE status = 'scheduled'") == 1);
    consistent(schema);
  }
}

TEST_CASE("a task without a ticket, which doctor reports, can be cancelled and replaced all the same") {
  Schema schema;
  for (const char* call : {"SELECT cancel(max(id)) FROM tasks", "SELECT * FROM enqueue_once('k', unique_key => 'x', replace => true)"}) {
    CAPTURE(call);
    CHECK(schema.value("SELECT created FROM enqueue_once('k', unique_key => 'x')") == "t");
    schema.connection().run("DELETE FROM tickets");
    CHECK(schema.number("SELECT count(*) FROM doctor()") == 1);
    schema.connection().run(call);
    consistent(schema);
  }
  CHECK(schema.value("SELECT string_agg(status::text, ' ' ORDER BY id) FROM tasks") == "cancelled pending");
}

TEST_CASE("tidying against taking over: a key that was just taken is not tidied away") {
  Schema schema;
  schema.connection().run(fmt::format("SELECT cancel({})", schema.number(unique_x)));
  Session taker(schema), tidier(schema);
  taker.script("BEGIN");
  const auto made = taker.run(unique_x).integer(0, 0);
  tidier.start("SELECT tidy_keys()");  // steps over it
  CHECK(tidier.finish() == "");
  taker.script("COMMIT");
  schema.connection().run("SELECT tidy_keys()");
  CHECK(schema.number("SELECT task FROM task_keys") == made);
  // The other way: an enqueue that meets a row being tidied waits, and then inserts its own.
  schema.connection().run(fmt::format("SELECT cancel({})", made));
  tidier.script("BEGIN");
  tidier.run("SELECT tidy_keys()");
  taker.start(unique_x);
  CHECK(taker.blocked(schema));
  tidier.script("COMMIT");
  CHECK(taker.finish() == "");
  CHECK(created_in(taker));
  CHECK(schema.number("SELECT task FROM task_keys") == id_in(taker));
}

TEST_CASE("replace and debounce against a claim: what has started is left alone") {
  for (const bool debounced : {true, false}) {
    CAPTURE(debounced);
    Schema schema;
    enroll(schema, first);
    const std::string call = debounced
                                 ? "SELECT id, created, replaced FROM enqueue_once('k', '{\"n\": 2}', debounce => '1 ms')"
                                 : "SELECT id, created, replaced FROM enqueue_once('k', '{\"n\": 2}', unique_key => 'x', replace => true)";
    const auto task = schema.number(call);
    CHECK(eventually([&] { return schema.number("SELECT count(*) FROM tickets WHERE run_at <= clock()") == 1; }));
    Session worker(schema), enqueuer(schema);
    worker.script("BEGIN");
    REQUIRE(tasks_in(worker.run(claim_sql(first))) == 1);
    enqueuer.start(call);
    CHECK(enqueuer.blocked(schema));
    worker.script("COMMIT");
    CHECK(enqueuer.finish() == "");
    CHECK(created_in(enqueuer) == debounced);
    CHECK_FALSE(enqueuer.rows().boolean(0, 2));
    CHECK((id_in(enqueuer) == task) == !debounced);
    consistent(schema);
  }
}

TEST_CASE("16 threads, 10,000 unique tasks, winners rolling back, tasks ending all the while: never two live, never a wrong answer") {
  constexpr int threads = 16, each = 10'000 / threads, keys = 40;
  Schema schema;
  enroll(schema, first, "1 hour");
  // Any two tasks of one key that live at the same time would break this index; it is the witness, not a part of the engine.
  schema.connection().script(
      "CREATE UNIQUE INDEX witness ON tasks (unique_key) WHERE unique_key IS NOT NULL AND status NOT IN ('completed', 'failed', "
      "'cancelled')");
  std::atomic<int> made{0}, found{0}, rolled_back{0}, wrong{0}, repeated{0};
  std::atomic<bool> done{false};
  std::mutex mutex;
  std::map<std::int64_t, int> creators;  // committed answers "created" by task
  std::vector<std::int64_t> answers;     // tasks that anybody was told of, and committed
  std::latch ready(threads);
  std::vector<std::future<void>> all;
  for (int thread = 0; thread < threads; ++thread) {
    all.push_back(std::async(std::launch::async, [&, thread] {
      std::mt19937 random(static_cast<unsigned>(thread) + 20'261'121U);
      const auto link = schema.open();
      ready.arrive_and_wait();
      for (int i = 0; i < each; ++i) {
        const auto key = random() % keys;
        const bool rolls_back = random() % 4 == 0;
        const bool serial = random() % 16 == 0;
        try {
          link->script(serial ? "BEGIN ISOLATION LEVEL REPEATABLE READ" : "BEGIN");
          const auto rows = link->run(fmt::format("SELECT id, created, status FROM enqueue_once('k', unique_key => 'u{}')", key));
          const auto id = rows.integer(0, 0);
          const bool created = rows.boolean(0, 1);
          // Told of another's task: it must be there, committed, and have been live.
          if (!created && (rows.is_null(0, 2) || rows.text(0, 2) == "completed")) ++wrong;
          if (created && rows.text(0, 2) != "pending") ++wrong;
          link->script(rolls_back ? "ROLLBACK" : "COMMIT");
          if (rolls_back) {
            ++rolled_back;
            continue;
          }
          ++(created ? made : found);
          const std::lock_guard lock(mutex);
          if (created) ++creators[id];
          answers.push_back(id);
        } catch (const DatabaseError& e) {
          link->script("ROLLBACK");
          if (e.sqlstate() == "23505")
            ++wrong;  // the witness
          else if (e.sqlstate() != "40001")
            throw;
          ++repeated;
          --i;
        }
      }
    }));
  }
  // Two workers that end tasks as fast as they come, and one that tidies.
  std::vector<std::future<void>> enders;
  for (int ender = 0; ender < 2; ++ender) {
    enders.push_back(std::async(std::launch::async, [&] {
      const auto link = schema.open();
      while (!done) {
        const auto rows = link->run(claim_sql(first, 5));
        std::string ids, leases;
        for (int row = 0; row + 1 < rows.size(); ++row) {
          ids += fmt::format("{}{}", ids.empty() ? "" : ",", rows.integer(row, 0));
          leases += fmt::format("{}{}", leases.empty() ? "" : ",", lease_of(rows));
        }
        if (!ids.empty()) link->run(complete_sql(first, ids, leases));
      }
    }));
  }
  enders.push_back(std::async(std::launch::async, [&] {
    const auto link = schema.open();
    while (!done) link->run("SELECT tidy_keys()");
  }));
  for (auto& one : all) one.get();
  done = true;
  for (auto& one : enders) one.get();

  MESSAGE("made ", made.load(), ", found ", found.load(), ", rolled back ", rolled_back.load(), ", repeated after 40001 ", repeated.load());
  CHECK(wrong == 0);
  CHECK(made + found + rolled_back == threads * each);
  CHECK(made > keys);
  CHECK(found > 0);
  CHECK(rolled_back > 0);
  // Each task was created by one answer, and no answer names a task that is not there.
  CHECK(schema.number("SELECT count(*) FROM tasks") == made);
  CHECK(static_cast<int>(creators.size()) == made);
  CHECK(std::all_of(creators.begin(), creators.end(), [](const auto& one) { return one.second == 1; }));
  CHECK(std::all_of(answers.begin(), answers.end(), [&](std::int64_t id) { return creators.contains(id); }));
  consistent(schema);
}
