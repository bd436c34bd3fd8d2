#include <millrace/testing/faults.hpp>

#include "base/text.hpp"
#include "postgres/connection.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <pqxx/pqxx>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace millrace::testing {
namespace {

using namespace std::chrono_literals;

enum class Fault : std::uint8_t { repeat, lose_lease, cut_commit };

// The lock's number: one at a time per server is enough, as the lock is per database.
constexpr std::int64_t cut_lock = 0x4D696C6C72616365;

// Waits, at the beginning of its COMMIT, for whoever holds the lock. The row is there if the commit took place.
constexpr const char* cut_objects =
    "CREATE SCHEMA IF NOT EXISTS millrace_testing;"
    "CREATE TABLE IF NOT EXISTS millrace_testing.cuts (at timestamptz DEFAULT now());"
    "CREATE OR REPLACE FUNCTION millrace_testing.await_cut() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN PERFORM pg_advisory_xact_lock({0}); RETURN NULL; END $$;"
    "DROP TRIGGER IF EXISTS await_cut ON millrace_testing.cuts;"
    "CREATE CONSTRAINT TRIGGER await_cut AFTER INSERT ON millrace_testing.cuts DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION millrace_testing.await_cut()";

struct Plan {
  Fault fault = Fault::repeat;
  int times = 0;
};

}  // namespace

struct Faults::Impl {
  explicit Impl(Database& given) : database(given) {}

  // The fault that this task's run is to meet, if there is one left for it.
  std::optional<Fault> next(const std::string& kind, TaskId task) {
    const std::lock_guard lock(mutex);
    const auto found = plans.find(kind);
    if (found == plans.end()) return {};
    for (int before = 0; const Plan& plan : found->second) {
      before += plan.times;
      if (met[task] < before) return plan.fault;
    }
    return {};
  }
  void strike(TaskId task) {
    const std::lock_guard lock(mutex);
    ++met[task];
    ++struck;
  }

  // As rescue does it for a worker that is dead: the whole batch is claimable again. If that happened before, to another task of
  // the batch, this one is still to come. A row that somebody holds for a moment is stepped over, so it takes until it is done.
  void take_lease(Context& context) {
    const std::string schema = base::quote_identifier(database.schema());
    const std::string look = fmt::format("SELECT EXISTS (SELECT FROM {}.running_tasks WHERE id = {} AND lease = {})", schema,
                                         context.task_id().value, context.lease().value);
    if (database.value(look) != "t") return;
    const auto patience = std::chrono::steady_clock::now() + 10s;
    do {
      database.value(fmt::format("SELECT {}.give_back({}, began => true, alone => false)", schema, context.lease().value));
      if (std::chrono::steady_clock::now() > patience)
        throw Error("the lease could not be taken: somebody holds the task's row for 10 seconds");
    } while (database.value(look) == "t");
    strike(context.task_id());
  }

  void cut(Context& context);
  void watch(TaskId task, int socket, int pid, postgres::Connection& link);

  Database& database;
  std::mutex mutex{};
  std::map<std::string, std::vector<Plan>> plans{};
  std::unordered_map<TaskId, int> met{};
  std::atomic<int> struck{0};
  std::vector<std::jthread> cutters{};
};

// From here on the transaction's COMMIT waits for a lock. Once it does, its socket is closed for reading, and the lock is let go: the
// server commits, and nobody hears of it.
void Faults::Impl::cut(Context& context) {
  pqxx::transaction_base& tx = context.transaction();
  auto link =
      std::make_unique<postgres::Connection>(postgres::Dial{.url = database.url(), .application = "millrace testing", .schema = ""});
  link->script(fmt::format("SELECT pg_advisory_lock({})", cut_lock));
  tx.exec("INSERT INTO millrace_testing.cuts DEFAULT VALUES");
  const std::lock_guard lock(mutex);
  cutters.emplace_back([this, task = context.task_id(), socket = tx.conn().sock(), pid = tx.conn().backendpid(), held = std::move(link)] {
    watch(task, socket, pid, *held);
  });
}

void Faults::Impl::watch(TaskId task, int socket, int pid, postgres::Connection& link) {
  try {
    for (;;) {
      const auto now =
          link.run(fmt::format("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = {0} AND locktype = 'advisory' AND NOT granted),"
                               " EXISTS (SELECT FROM pg_stat_activity WHERE pid = {0} AND xact_start IS NOT NULL)",
                               pid));
      if (now.boolean(0, 0)) {
        // It waits for us in its COMMIT, so the descriptor is still that connection's.
        ::shutdown(socket, SHUT_RD);
        strike(task);
        return;
      }
      // Rolled back instead: there is no commit to cut.
      if (!now.boolean(0, 1)) return;
      std::this_thread::sleep_for(1ms);
    }
  } catch (const std::exception& e) {
    fmt::print(stderr, "millrace::testing: the commit could not be cut: {}\n", e.what());
  }
}

Faults::Faults(Database& database) : impl_(std::make_shared<Impl>(database)) {}
Faults::~Faults() = default;

namespace {

int checked(int times) {
  if (times < 1) throw InvalidArgument("times", fmt::format("is {}; allowed is 1 and more", times));
  return times;
}

}  // namespace

Faults& Faults::repeat(const std::string& kind, int times) {
  const std::lock_guard lock(impl_->mutex);
  impl_->plans[kind].push_back({Fault::repeat, checked(times)});
  return *this;
}

Faults& Faults::lose_lease(const std::string& kind, int times) {
  const std::lock_guard lock(impl_->mutex);
  impl_->plans[kind].push_back({Fault::lose_lease, checked(times)});
  return *this;
}

Faults& Faults::cut_commit(const std::string& kind, int times) {
  impl_->database.exec(fmt::format(cut_objects, cut_lock));
  const std::lock_guard lock(impl_->mutex);
  impl_->plans[kind].push_back({Fault::cut_commit, checked(times)});
  return *this;
}

int Faults::struck() const noexcept { return impl_->struck; }

RawHandler Faults::wrap(const std::string& kind, RawHandler handler) {
  return [impl = impl_, kind, handler = std::move(handler)](Context& context) -> Outcome<std::string> {
    const auto fault = impl->next(kind, context.task_id());
    if (fault == Fault::lose_lease) impl->take_lease(context);
    if (fault != Fault::repeat) {
      Outcome<std::string> outcome = handler(context);
      if (fault == Fault::cut_commit && outcome.state().index() == 0) impl->cut(context);
      return outcome;
    }
    try {
      Outcome<std::string> outcome = handler(context);
      impl->take_lease(context);
      return outcome;
    } catch (...) {
      impl->take_lease(context);
      throw;
    }
  };
}

}  // namespace millrace::testing
