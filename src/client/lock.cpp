#include <millrace/lock.hpp>

#include "base/text.hpp"
#include "engine/locks.hpp"
#include "postgres/connection.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>
#include <utility>

namespace millrace {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Signals are for the program's own threads: those that are made meanwhile take none.
class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~NoSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;
  NoSignals(NoSignals&&) = delete;
  NoSignals& operator=(NoSignals&&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

// Two threads: one extends, and may hang as long as the network lets it; the other looks at the time, and nothing else.
struct Lock::Impl {
  Impl(const ClientOptions& client, std::string_view lock, const LockOptions& options)
      : database(client), name(lock), owner(options.owner.empty() ? engine::fresh_owner() : options.owner), ttl(options.ttl) {
    base::check_schema_name(database.schema);
  }
  ~Impl() {
    try {
      release();
    } catch (const std::exception&) {
      return;  // it expires by itself
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  Impl(Impl&&) = delete;
  Impl& operator=(Impl&&) = delete;

  void connect() {
    if (link && !link->broken()) return;
    link.reset();
    link = std::make_unique<postgres::Connection>(postgres::Dial{.url = database.database,
                                                                 .application = "millrace lock",
                                                                 .schema = database.schema,
                                                                 .connect_timeout = database.connect_timeout,
                                                                 .session = database.listen});
  }
  [[nodiscard]] engine::Run run() const {
    return [this](const std::string& sql, const postgres::Params& params) { return link->run(sql, params); };
  }

  LockAttempt attempt() {
    for (bool sent = false;;) {
      const bool again = sent;
      try {
        connect();
        sent = true;
        asked = Clock::now();
        return engine::acquire_lock(run(), database.schema, name, owner, ttl);
      } catch (const ConnectionError& e) {
        // It may have been acquired; then the same owner, asking once more, is told its token.
        if (!sent) throw;
        if (again) {
          throw OutcomeUnknown(
              fmt::format("the connection broke before the answer came, so the lock may be held until it expires: {}", e.what()));
        }
      }
    }
  }

  void start() {
    const NoSignals none;
    state = State::held;
    watchdog = std::thread([this] { watch(); });
    extender = std::thread([this] { extend(); });
  }

  void lose() {
    {
      const std::lock_guard guard(mutex);
      if (state != State::held) return;
      state = State::lost;
      changed.notify_all();
    }
    stop.request_stop();
  }

  void watch() {
    for (;;) {
      std::unique_lock guard(mutex);
      if (state != State::held) return;
      const auto deadline = asked + ttl * 9 / 10;
      if (Clock::now() >= deadline) break;
      changed.wait_until(guard, deadline);
    }
    lose();
  }

  void extend() {
    const Milliseconds patience = std::clamp(ttl / 60, Milliseconds(20), Milliseconds(1000));
    auto next = asked + ttl / 3;
    for (;;) {
      {
        std::unique_lock guard(mutex);
        changed.wait_until(guard, next, [this] { return state != State::held; });
        if (state != State::held) return;
      }
      const auto sent = Clock::now();
      try {
        connect();
        engine::extend_lock(run(), database.schema, name, token, ttl);
        const std::lock_guard guard(mutex);
        asked = sent;
        next = sent + ttl / 3;
      } catch (const LeaseLost&) {
        lose();
        return;
      } catch (const std::exception&) {
        // The database is away, or somebody holds the row: again, until it succeeds or the watchdog says that it is too late.
        next = Clock::now() + patience;
      }
    }
  }

  bool release() {
    const std::lock_guard once(releasing);
    State before{};
    {
      const std::lock_guard guard(mutex);
      before = std::exchange(state, State::released);
      changed.notify_all();
    }
    if (watchdog.joinable()) watchdog.join();
    if (extender.joinable()) extender.join();
    if (before == State::released) return false;
    // A lock that was lost is given back only where that costs nothing: nobody may have taken it yet.
    if (before == State::lost && (!link || link->broken())) return false;
    for (;;) {
      // A connection may have broken since it was used last: that is worth a second try.
      const bool fresh = !link || link->broken();
      try {
        connect();
        return engine::release_lock(run(), database.schema, name, token) && before == State::held;
      } catch (const ConnectionError&) {
        if (fresh || before == State::lost) return false;
      }
    }
  }

  enum class State : std::uint8_t { released, held, lost };

  const ClientOptions database;
  const std::string name;
  const std::string owner;
  const Milliseconds ttl;
  LockToken token{};

  std::unique_ptr<postgres::Connection> link;  // of the extender, while that runs
  mutable std::mutex mutex;                    // guards the next three
  std::condition_variable changed;
  State state = State::released;
  Clock::time_point asked{};  // when the latest extension that succeeded was asked for: it lasts at least a ttl from then
  std::stop_source stop;
  std::mutex releasing;
  std::thread watchdog;
  std::thread extender;
};

Lock::Lock(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Lock::~Lock() = default;
Lock::Lock(Lock&& other) noexcept = default;
Lock& Lock::operator=(Lock&& other) noexcept = default;

std::optional<Lock> Lock::acquire(const ClientOptions& database, std::string_view name, const LockOptions& options) {
  auto impl = std::make_unique<Impl>(database, name, options);
  const LockAttempt attempt = engine::keep_trying([&] { return impl->attempt(); }, options.wait);
  if (!attempt.acquired()) return {};
  impl->token = *attempt.token;
  impl->start();
  return Lock(std::move(impl));
}

const std::string& Lock::name() const noexcept { return impl_->name; }
const std::string& Lock::owner() const noexcept { return impl_->owner; }
LockToken Lock::token() const noexcept { return impl_->token; }
bool Lock::held() const noexcept {
  const std::lock_guard guard(impl_->mutex);
  return impl_->state == Impl::State::held;
}
std::stop_token Lock::stop_token() const noexcept { return impl_->stop.get_token(); }
bool Lock::release() { return impl_->release(); }

}  // namespace millrace
