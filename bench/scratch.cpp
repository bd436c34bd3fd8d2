#include "scratch.hpp"

#include "postgres/conninfo.hpp"

#include <millrace/error.hpp>
#include <millrace/migrate.hpp>

#include <fmt/format.h>

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <mutex>
#include <thread>
#include <vector>

namespace millrace::bench {
namespace {

std::atomic<int> schemas{0};
// Held while schemas are dropped; by a signal, to the end of the process.
std::mutex dropping;

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

struct Scratch::Impl {
  explicit Impl(const ConnectionString& database)
      : schema(fmt::format("millrace_bench_{}_{}", ::getpid(), schemas++)),
        conninfo(postgres::keywords(database, {}) + fmt::format(" application_name='{}'", schema)),
        link(conninfo) {
    link.run("SET client_min_messages = warning; SET timezone = 'UTC'");
    const sigset_t set = ending_signals();
    pthread_sigmask(SIG_BLOCK, &set, &before);
    {
      const std::lock_guard lock(dropping);
      living.push_back(this);
    }
    watcher = std::thread([this] { watch(); });
  }
  ~Impl() {
    over = true;
    watcher.join();
    {
      const std::lock_guard lock(dropping);
      std::erase(living, this);
      drop();
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  Impl(Impl&&) = delete;
  Impl& operator=(Impl&&) = delete;

  void watch() {
    const sigset_t set = ending_signals();
    const timespec patience{0, 100'000'000};
    while (!over) {
      if (sigtimedwait(&set, nullptr, &patience) < 0) continue;
      // Held to the end, so that whoever fails now because the schema is gone has no time to complain.
      dropping.lock();
      for (Impl* one : living) one->drop();
      ::_exit(130);
    }
  }

  // In a session of its own: the other one may be busy. Ends this benchmark's other sessions first, for their locks.
  void drop() noexcept {
    try {
      Link own(conninfo);
      own.run("SET client_min_messages = warning");
      own.run(fmt::format(
          "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = '{}' AND pid <> pg_backend_pid()",
          schema));
      own.run(fmt::format("DROP SCHEMA IF EXISTS {} CASCADE", schema));
    } catch (const std::exception& e) {
      fmt::print(stderr, "the benchmark's schema {} could not be dropped: {}\n", schema, e.what());
    }
  }

  std::string schema;
  std::string conninfo;
  Link link;
  sigset_t before{};
  static inline std::vector<Impl*> living;
  std::atomic<bool> over{false};
  std::thread watcher;
};

Scratch::Scratch(const ConnectionString& database) : impl_(std::make_unique<Impl>(database)) {
  Migrator(impl_->conninfo, impl_->schema).up();
}
Scratch::~Scratch() = default;

const std::string& Scratch::schema() const { return impl_->schema; }
const std::string& Scratch::conninfo() const { return impl_->conninfo; }
Link& Scratch::link() { return impl_->link; }

std::string Scratch::sql(std::string text) const {
  for (std::size_t at = text.find('@'); at != std::string::npos; at = text.find('@', at)) text.replace(at, 1, impl_->schema);
  return text;
}

void Scratch::clear() { run("TRUNCATE @.tasks, @.tickets, @.leases"); }

void Scratch::fill(int tasks, int padding) {
  clear();
  // Slices of one text, because making a new one for each task would take longer than everything else.
  const std::string args = padding == 0 ? "" : fmt::format(" || jsonb_build_object('text', substr(noise, i % 4096 + 1, {}))", padding);
  run(
      fmt::format("WITH n AS MATERIALIZED (SELECT string_agg(md5(j::text), '') AS noise FROM generate_series(1, {}) j),"
                  " t AS (INSERT INTO @.tasks (kind, args)"
                  " SELECT 'noop', jsonb_build_object('to', 'user' || chr(64) || 'example.com', 'n', i){} FROM n, generate_series(1, {}) i"
                  " RETURNING queue, priority / 25, @.kind_hash(kind), run_at, id, ctid)"
                  " INSERT INTO @.tickets SELECT * FROM t",
                  (4096 + padding) / 32 + 1, args, tasks));
}

void Scratch::settle() {
  run("VACUUM ANALYZE @.tasks");
  run("VACUUM ANALYZE @.tickets");
  run("CHECKPOINT");
}

void Scratch::await_quiet() {
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < patience) {
    const Rows others =
        run("SELECT FROM pg_stat_activity WHERE application_name = '@' AND pid <> pg_backend_pid() AND backend_type = 'client backend'");
    if (others.size() == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  throw StateError("the benchmark's sessions did not end");
}

}  // namespace millrace::bench
