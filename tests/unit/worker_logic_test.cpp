#include "worker/cursor.hpp"
#include "worker/lane.hpp"
#include "worker/ledger.hpp"
#include "worker/wake_policy.hpp"

#include <doctest/doctest.h>

using namespace millrace::worker;
using namespace std::chrono_literals;

TEST_CASE("prefetch: about 100 ms of work, at most two batches, nothing for slow handlers") {
  CHECK(prefetch_for(0ns, 10, 500) == 0);
  CHECK(prefetch_for(1us, 10, 500) == 1000);
  CHECK(prefetch_for(10ms, 10, 500) == 100);
  CHECK(prefetch_for(200ms, 10, 500) == 0);
}

TEST_CASE("rule 17: the wish to be woken follows load, with hysteresis, at most once a second") {
  WakePolicy policy;
  const auto start = Clock::now();
  CHECK_FALSE(policy.wanted());
  CHECK_FALSE(policy.should_change(start, false));
  REQUIRE(policy.should_change(start, true));
  policy.changed(start);
  CHECK(policy.wanted());
  for (int i = 0; i < 3; ++i) policy.claimed(true);
  CHECK_FALSE(policy.should_change(start + 500ms, false));
  CHECK(policy.should_change(start + 1100ms, false));
  policy.changed(start + 1100ms);
  CHECK_FALSE(policy.should_change(start + 1500ms, true));
  REQUIRE(policy.should_change(start + 2200ms, true));
  policy.changed(start + 2200ms);
  for (int i = 0; i < 101; ++i) policy.woken(start + 4s);
  CHECK(policy.should_change(start + 4s, false));
}

TEST_CASE("rule 5: sweeps take at most a tenth of the time and come at least every five seconds") {
  Cursor cursor;
  const auto now = Clock::now();
  CHECK(cursor.sweep_due(now, false));
  cursor.swept(now, now + 1ms);
  CHECK_FALSE(cursor.sweep_due(now + 5ms, false));
  CHECK(cursor.sweep_due(now + 12ms, false));
  CHECK(cursor.sweep_due(now + 5ms, true));
  cursor.swept(now, now + 10s);
  CHECK(cursor.sweep_due(now + 15s, false));
  cursor.reached(2, "2026-01-01T00:00:00+00:00", 7);
  CHECK(cursor.times(false) == R"({"-infinity","-infinity","2026-01-01T00:00:00+00:00","-infinity","-infinity"})");
  CHECK(cursor.ids(false) == "{0,0,7,0,0}");
  CHECK(cursor.ids(true) == "{0,0,0,0,0}");
}

TEST_CASE("a lease is done when its last task is settled") {
  Ledger ledger;
  const auto batch = std::make_shared<Batch>();
  batch->lease = {5};
  ledger.add(batch, 2);
  CHECK(ledger.named() == "{5}");
  ledger.settled({5});
  CHECK(ledger.take_done().empty());
  ledger.settled({5});
  CHECK(ledger.take_done().size() == 1);
  CHECK(ledger.named() == "{}");
  CHECK(ledger.lose({{5}}).empty());
}

TEST_CASE("a lease that was lost is not this worker's to drop") {
  Ledger ledger;
  const auto batch = std::make_shared<Batch>();
  batch->lease = {6};
  ledger.add(batch, 1);
  CHECK(ledger.lose({{6}}).size() == 1);
  CHECK(batch->lost);
  ledger.settled({6});
  CHECK(ledger.named() == "{}");
  CHECK(ledger.take_done().empty());
}
