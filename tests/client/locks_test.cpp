// Named locks from C++: races of threads, the holder that extends itself, and what it does when it cannot.
#include "worker/house.hpp"

#include <fmt/format.h>
#include <pqxx/pqxx>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

using namespace millrace;
using namespace millrace::test;

namespace {

template <class Body>
void on_threads(int count, const Body& body) {
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(count));
  std::vector<std::string> problems(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&body, &problem = problems[static_cast<std::size_t>(i)], i] {
      try {
        body(i);
      } catch (const std::exception& e) {
        problem = e.what();
      }
    });
  }
  for (std::thread& one : threads) one.join();
  for (const std::string& problem : problems) CHECK(problem == "");
}

}  // namespace

TEST_CASE("16 threads: one holder at a time, and tokens that only grow") {
  House house;
  house.schema.connection().run("CREATE TABLE seat (inside int)");
  house.schema.connection().run("INSERT INTO seat VALUES (0)");
  house.schema.connection().run("CREATE TABLE history (id bigint GENERATED ALWAYS AS IDENTITY, token bigint, inside int)");
  std::atomic<int> errors{0};
  on_threads(16, [&](int number) {
    Client client({.database = house.schema.url(), .schema = house.schema.name()});
    const auto link = house.schema.open();
    for (int i = 0; i < 15; ++i) {
      const auto attempt = client.acquire_lock("seat", fmt::format("thread {}", number), 30s, 60s);
      if (!attempt.acquired()) {
        ++errors;
        continue;
      }
      link->run("UPDATE seat SET inside = inside + 1");
      link->run(fmt::format("INSERT INTO history (token, inside) SELECT {}, inside FROM seat", attempt.token->value));
      link->run("UPDATE seat SET inside = inside - 1");
      if (!client.release_lock("seat", *attempt.token)) ++errors;
    }
  });
  CHECK(errors == 0);
  CHECK(house.count("history") == 16 * 15);
  CHECK(house.count("history WHERE inside <> 1") == 0);
  CHECK(house.schema.number("SELECT count(*) FROM (SELECT token <= lag(token) OVER (ORDER BY id) AS back FROM history) h WHERE back") == 0);
}

TEST_CASE("zombies: what is written under an asserted lock is never in the order of an older token") {
  House house;
  // Time is in the test's hands: holders lose what they hold whenever a thread puts the clock forward.
  house.schema.connection().run("CREATE TABLE shift (seconds int)");
  house.schema.connection().run("INSERT INTO shift VALUES (0)");
  house.schema.connection().run(
      "CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql STABLE SET search_path FROM CURRENT AS"
      " 'SELECT pg_catalog.now() + seconds * interval ''1 second'' FROM shift'");
  house.schema.connection().run("CREATE TABLE history (id bigint GENERATED ALWAYS AS IDENTITY, token bigint)");
  std::atomic<int> written{0}, refused{0}, others{0};
  on_threads(16, [&](int number) {
    pqxx::connection db(house.schema.url());
    std::minstd_rand random(static_cast<unsigned>(number) + 1);
    std::vector<LockToken> had;
    for (int i = 0; i < 500; ++i) {
      try {
        bool wrote = false;
        pqxx::work tx(db);
        if (const auto dice = random() % 64; dice == 0) {
          tx.exec("UPDATE " + house.schema.quoted() + ".shift SET seconds = seconds + 31");
        } else if (dice < 16) {
          const auto attempt = acquire_lock(tx, "door", fmt::format("thread {}", number), 30s, house.schema.name());
          if (attempt.acquired()) had.push_back(*attempt.token);
        } else if (!had.empty() && dice == 16) {
          release_lock(tx, "door", had.back(), house.schema.name());
        } else if (!had.empty()) {
          // Its latest token, or any that it ever had, as a holder does that was away for long.
          const LockToken token = random() % 4 == 0 ? had[random() % had.size()] : had.back();
          assert_lock(tx, "door", token, house.schema.name());
          // Time for others to take it over, if they can.
          for (auto more = random() % 64; more > 0; --more) tx.exec("SELECT");
          tx.exec("INSERT INTO " + house.schema.quoted() + ".history (token) VALUES (" + std::to_string(token.value) + ")");
          wrote = true;
        }
        tx.commit();
        if (wrote) ++written;
      } catch (const LeaseLost&) {
        ++refused;
      } catch (const DatabaseError& e) {
        if (e.sqlstate() != "55P03") ++others;
      }
    }
  });
  CHECK(others == 0);
  CHECK(written > 0);
  CHECK(refused > 0);
  CHECK(house.count("history") == written);
  CHECK(house.schema.number("SELECT count(*) FROM (SELECT token < lag(token) OVER (ORDER BY id) AS back FROM history) h WHERE back") == 0);
}

TEST_CASE("the functions on a transaction take effect with it") {
  House house;
  const std::string& schema = house.schema.name();
  pqxx::connection db(house.schema.url());
  {
    pqxx::work tx(db);
    CHECK(acquire_lock(tx, "door", "ada", 30s, schema).acquired());
    CHECK(lock_holder(tx, "door", schema)->owner == "ada");
  }
  CHECK_FALSE(house.client.lock_holder("door").has_value());
  LockToken token;
  {
    pqxx::work tx(db);
    token = *acquire_lock(tx, "door", "ada", 30s, schema).token;
    tx.commit();
  }
  const auto refused = house.client.acquire_lock("door", "grace", 30s);
  CHECK_FALSE(refused.acquired());
  CHECK(refused.owner == "ada");
  CHECK(refused.expires_at == house.client.lock_holder("door")->expires_at);
  CHECK(house.client.acquire_lock("door", "ada", 30s).token == token);
  {
    pqxx::work tx(db);
    assert_lock(tx, "door", token, schema);
    CHECK(extend_lock(tx, "door", token, 1h, schema) > *refused.expires_at + 30min);
    CHECK_THROWS_AS(assert_lock(tx, "door", LockToken{token.value + 1}, schema), LeaseLost);
    CHECK_THROWS_AS(release_lock(tx, "door", token, schema), Error);
  }
  CHECK(house.client.extend_lock("door", token, 1h) > *refused.expires_at + 30min);
  CHECK_THROWS_AS(house.client.extend_lock("door", LockToken{1}, 1h), LeaseLost);
  REQUIRE(house.client.locks().size() == 1);
  CHECK(house.client.locks().front().name == "door");
  CHECK(house.client.locks().front().token == token);
  CHECK(house.client.release_lock("door", token));
  CHECK_FALSE(house.client.release_lock("door", token));
  CHECK(house.client.locks().empty());
}

TEST_CASE("what is out of range is refused before anything is sent") {
  House house;
  const auto field = [](const auto& call) {
    try {
      call();
    } catch (const InvalidArgument& e) {
      return e.field();
    }
    return std::string();
  };
  Client& client = house.client;
  CHECK(field([&] { client.acquire_lock("", "a", 30s); }) == "name");
  CHECK(field([&] { client.acquire_lock("a\xff", "a", 30s); }) == "name");
  CHECK(field([&] { client.acquire_lock("a", std::string(129, 'x'), 30s); }) == "owner");
  CHECK(field([&] { client.acquire_lock("a", "a", 999ms); }) == "ttl");
  CHECK(field([&] { client.acquire_lock("a", "a", 24h + 1ms); }) == "ttl");
  CHECK(field([&] { client.acquire_lock("a", "a", 30s, -1ms); }) == "wait");
  CHECK(field([&] { client.extend_lock("a", {1}, 0s); }) == "ttl");
  CHECK(field([&] { client.release_lock("", {1}); }) == "name");
  CHECK(field([&] { static_cast<void>(client.lock_holder("")); }) == "name");
  const ClientOptions at{.database = house.schema.url(), .schema = house.schema.name()};
  CHECK(field([&] { static_cast<void>(Lock::acquire(at, "", {})); }) == "name");
  CHECK(field([&] { static_cast<void>(Lock::acquire(at, "a", {.ttl = 0s})); }) == "ttl");
  CHECK(field([&] { static_cast<void>(Lock::acquire(at, "a", {.wait = std::chrono::days(366)})); }) == "wait");
  CHECK(house.count("locks") == 0);
}

TEST_CASE("a Lock outlives its ttl, loses its connection without being lost, and is released at its end") {
  House house;
  const ClientOptions at{.database = house.schema.url(), .schema = house.schema.name()};
  {
    auto lock = Lock::acquire(at, "door", {.ttl = 2s});
    REQUIRE(lock.has_value());
    CHECK(lock->name() == "door");
    CHECK(house.client.lock_holder("door")->owner == lock->owner());
    const Time first = house.client.lock_holder("door")->expires_at;
    CHECK_FALSE(Lock::acquire(at, "door").has_value());
    const auto expires_after = [&](Time time) {
      return eventually([&] {
        const auto holder = house.client.lock_holder("door");
        return holder && holder->expires_at > time;
      });
    };
    CHECK(expires_after(first + 3s));
    const Time second = house.client.lock_holder("door")->expires_at;
    CHECK(house.schema.number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'millrace lock'"
                              " AND query LIKE '%" +
                              house.schema.name() + "%'") == 1);
    CHECK(expires_after(second + 1s));
    CHECK(lock->held());
    CHECK_FALSE(lock->stop_token().stop_requested());
    Lock moved = std::move(*lock);
    CHECK(moved.held());
    CHECK(house.client.lock_holder("door")->token == moved.token());
  }
  CHECK(house.count("locks") == 0);
}

TEST_CASE("a Lock is released once; whoever waits for it gets it then") {
  House house;
  const ClientOptions at{.database = house.schema.url(), .schema = house.schema.name()};
  auto lock = Lock::acquire(at, "door", {.owner = "ada"});
  REQUIRE(lock.has_value());
  std::optional<Lock> next;
  std::thread waiting([&] { next = Lock::acquire(at, "door", {.owner = "grace", .wait = 20s}); });
  // The waiter's session ends, and that of the holder: neither matters.
  const std::string sessions =
      "FROM pg_stat_activity WHERE application_name = 'millrace lock' AND query LIKE '%" + house.schema.name() + "%acquire_lock%'";
  CHECK(eventually([&] { return house.schema.number("SELECT count(*) " + sessions) == 2; }));
  house.schema.connection().run("SELECT pg_terminate_backend(pid) " + sessions);
  CHECK(lock->held());
  CHECK(lock->release());
  CHECK_FALSE(lock->held());
  CHECK_FALSE(lock->release());
  CHECK_FALSE(lock->stop_token().stop_requested());
  waiting.join();
  REQUIRE(next.has_value());
  CHECK(next->token() > lock->token());
  CHECK(house.client.lock_holder("door")->owner == "grace");
  // Who let go of it cannot take it from the next by letting go again.
  lock.reset();
  CHECK(next->held());
  CHECK(house.client.lock_holder("door")->owner == "grace");
}

TEST_CASE("a Lock that somebody else released is lost, and its stop token tells") {
  House house;
  auto lock = Lock::acquire({.database = house.schema.url(), .schema = house.schema.name(), .listen = false}, "door", {.ttl = 1s});
  REQUIRE(lock.has_value());
  // Without any state of its session it is extended all the same.
  const Time first = house.client.lock_holder("door")->expires_at;
  REQUIRE(eventually([&] { return house.client.lock_holder("door")->expires_at > first; }));
  std::atomic<int> told{0};
  const std::stop_callback callback(lock->stop_token(), [&] { ++told; });
  CHECK(house.client.release_lock("door", lock->token()));
  CHECK(house.client.acquire_lock("door", "grace", 1h).acquired());
  CHECK(eventually([&] { return lock->stop_token().stop_requested(); }));
  CHECK_FALSE(lock->held());
  CHECK(eventually([&] { return told == 1; }));
  CHECK_FALSE(lock->release());
  CHECK(house.client.lock_holder("door")->owner == "grace");
}

TEST_CASE("a Lock that cannot be extended is lost before its lease is over, even if the database just does not answer") {
  House house;
  const auto before = std::chrono::steady_clock::now();
  auto lock = Lock::acquire({.database = house.schema.url(), .schema = house.schema.name()}, "door", {.ttl = 3s});
  REQUIRE(lock.has_value());
  Session hog(house.schema);
  hog.script("BEGIN");
  hog.script("LOCK TABLE locks");
  REQUIRE(eventually([&] { return lock->stop_token().stop_requested(); }));
  // It was told while an extension hung, and before anybody else could have it.
  CHECK(hog.run("SELECT expires_at > clock_timestamp() FROM locks").boolean(0, 0));
  CHECK(std::chrono::steady_clock::now() - before >= 2700ms);
  CHECK_FALSE(lock->held());
  hog.script("ROLLBACK");
}

TEST_CASE("workers tidy away locks that expired long ago") {
  House house;
  CHECK(house.client.acquire_lock("old", "ada", 30s).acquired());
  house.schema.connection().run("UPDATE locks SET expires_at = now() - interval '2 hours'");
  const auto held = house.client.acquire_lock("new", "ada", 30s);
  Worker worker(house.options());
  worker.handle_raw("nothing", nothing);
  worker.start();
  CHECK(eventually([&] { return house.count("locks") == 1; }));
  CHECK(worker.stop());
  CHECK(house.client.lock_holder("new")->token == held.token);
}
