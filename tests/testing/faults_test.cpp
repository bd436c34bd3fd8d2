#include <millrace/testing/faults.hpp>

#include "testing/kinds.hpp"

#include <pqxx/pqxx>

#include <atomic>

namespace millrace::test {

using testing::drain;
using testing::Faults;

namespace {

// A handler that books within its transaction, and counts its calls beside it.
struct Booking {
  OnServer db{};
  std::atomic<int> calls{0};
  Booking() {
    db.exec("CREATE TABLE parcels (who text, attempt int)");
    send_mail.enqueue(db.client(), {.to = "ada"});
  }
  auto handler() {
    return [this](const Mail& mail, pqxx::transaction_base& tx, Context& context) {
      ++calls;
      tx.exec("INSERT INTO public.parcels VALUES ('" + mail.to + "', " + std::to_string(context.attempt()) + ")");
      return mail.to;
    };
  }
  testing::Drained run(Faults& faults) {
    return drain(db, [&](Worker& worker) { faults.handle(worker, send_mail, handler()); });
  }
};

}  // namespace

TEST_CASE("without a fault nothing is different") {
  Booking booking;
  Faults faults{booking.db};
  faults.repeat("another-kind");
  CHECK(booking.run(faults).completed == 1);
  CHECK(booking.calls == 1);
  CHECK(faults.struck() == 0);
}

TEST_CASE("a run that is repeated: its transaction is undone, what it did beside it happens twice") {
  Booking booking;
  Faults faults{booking.db};
  faults.repeat(send_mail.kind(), 2);
  const auto done = booking.run(faults);
  CHECK(done.completed == 1);
  CHECK(done.lost == 2);
  CHECK(booking.calls == 3);
  CHECK(faults.struck() == 2);
  CHECK(booking.db.rows("SELECT attempt FROM parcels") == std::vector<std::vector<std::string>>{{"3"}});
  CHECK(booking.db.value("SELECT status FROM tasks") == "completed");
  CHECK(booking.db.value("SELECT count(*) FROM doctor()") == "0");
}

TEST_CASE("a repeated run without a transaction, also one that throws and one that has but one attempt") {
  OnServer db;
  note_mail.enqueue(db.client(), {.to = "ada"}, {.max_attempts = 1});
  note_mail.enqueue(db.client(), {.to = "eve"});
  Faults faults{db};
  faults.repeat(note_mail.kind());
  std::map<std::string, int> calls;
  const auto done = drain(db, [&](Worker& worker) {
    faults.handle(worker, note_mail, [&](const Mail& mail, Context&) {
      if (++calls[mail.to] == 1 && mail.to == "eve") throw std::runtime_error("first");
    });
  });
  CHECK(calls["ada"] >= 2);
  CHECK(calls["eve"] >= 2);
  CHECK(done.completed == 2);
  CHECK(faults.struck() == 2);
}

TEST_CASE("a lease that is lost asks the run to stop, and refuses the commit of one that goes on") {
  Booking booking;
  Faults faults{booking.db};
  faults.lose_lease(send_mail.kind());
  CHECK(booking.run(faults).completed == 1);
  CHECK(booking.calls == 2);
  CHECK(booking.db.rows("SELECT attempt FROM parcels") == std::vector<std::vector<std::string>>{{"2"}});
  note_mail.enqueue(booking.db.client(), {});
  faults.lose_lease(note_mail.kind());
  std::atomic<int> stopped{0};
  drain(booking.db, [&](Worker& worker) {
    faults.handle(worker, note_mail, [&](const Mail&, Context& context) {
      if (stopped == 0 && eventually([&] { return context.stop_token().stop_requested(); })) ++stopped;
    });
  });
  CHECK(stopped == 1);
  CHECK(faults.struck() == 2);
}

TEST_CASE("a commit whose answer is lost has taken place, once") {
  Booking booking;
  Faults faults{booking.db};
  faults.cut_commit(send_mail.kind());
  const auto done = booking.run(faults);
  INFO(done.text());
  CHECK(booking.calls == 1);
  CHECK(faults.struck() == 1);
  CHECK(booking.db.rows("SELECT attempt FROM parcels") == std::vector<std::vector<std::string>>{{"1"}});
  CHECK(booking.db.value("SELECT count(*) FROM millrace_testing.cuts") == "1");
  CHECK(booking.db.value("SELECT status FROM tasks") == "completed");
  CHECK(booking.db.value("SELECT errors IS NULL FROM tasks") == "t");
  CHECK(done.failures.empty());
  CHECK(booking.db.value("SELECT count(*) FROM doctor()") == "0");
}

TEST_CASE("a cut is for commits: a run that fails has none, and a run without a transaction gets one") {
  OnServer db;
  Faults faults{db};
  faults.cut_commit(send_mail.kind()).cut_commit(note_mail.kind());
  send_mail.enqueue(db.client(), {});
  note_mail.enqueue(db.client(), {});
  int calls = 0;
  drain(db, [&](Worker& worker) {
    faults.handle(worker, send_mail, [](const Mail&, Context&) -> Outcome<std::string> { return fail("no"); });
    faults.handle(worker, note_mail, [&](const Mail&, Context&) { ++calls; });
  });
  CHECK(faults.struck() == 1);
  CHECK(calls == 1);
  CHECK(db.value("SELECT string_agg(status::text, ',' ORDER BY id) FROM tasks") == "failed,completed");
  CHECK_THROWS_AS(faults.repeat("x", 0), InvalidArgument);
}

TEST_CASE("faults of a kind come one after the other, for each task") {
  Booking booking;
  send_mail.enqueue(booking.db.client(), {.to = "eve"});
  Faults faults{booking.db};
  faults.repeat(send_mail.kind()).lose_lease(send_mail.kind()).cut_commit(send_mail.kind());
  booking.run(faults);
  // More often than that if both were in one batch, and one's lease was the other's.
  CHECK(booking.calls >= 6);
  CHECK(faults.struck() == 6);
  CHECK(booking.db.rows("SELECT who FROM parcels ORDER BY 1") == std::vector<std::vector<std::string>>{{"ada"}, {"eve"}});
  CHECK(booking.db.value("SELECT count(*) FROM tasks WHERE status = 'completed'") == "2");
}

}  // namespace millrace::test
