// F14: many migrators at once, one of them killed.
#include "support.hpp"

#include <fmt/format.h>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

using namespace millrace;

namespace {

const int newest = static_cast<int>(embedded_migrations().size());

// migrate_once as a process of its own, whose output we read. Killed at the end if it still runs.
class Process {
 public:
  Process(const std::string& schema, const char* fault) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    const std::string url = database_url();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], 1);
      ::setenv("MILLRACE_FAULT", fault, 1);
      ::execl(MIGRATE_ONCE, MIGRATE_ONCE, url.c_str(), schema.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::close(ends[1]);
    out_ = ::fdopen(ends[0], "r");
  }
  ~Process() {
    std::fclose(out_);
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  std::string line() {
    char buffer[256];
    std::string text = std::fgets(buffer, sizeof buffer, out_) == nullptr ? "" : buffer;
    if (!text.empty()) text.pop_back();
    return text;
  }
  void await_stopped() const {
    int status = 0;
    ::waitpid(pid_, &status, WUNTRACED);
    REQUIRE(WIFSTOPPED(status));
  }
  void kill() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  std::FILE* out_ = nullptr;
};

}  // namespace

TEST_CASE("20 migrators at once apply each migration once") {
  ScratchSchema schema;
  std::atomic<int> applied = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&] { applied += schema.migrator().up(); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(applied == newest);
  CHECK(schema.sql("SELECT count(*) FROM @migrations").integer(0, 0) == newest);
}

#if defined(MILLRACE_FAULT_POINTS)
TEST_CASE("a migrator killed in the middle loses nothing: the others go on from there") {
  ScratchSchema schema;
  Process doomed(schema.name(), "migrate.before_commit#3=stop");
  doomed.await_stopped();
  std::vector<std::unique_ptr<Process>> others;
  for (int i = 0; i < 19; ++i) others.push_back(std::make_unique<Process>(schema.name(), ""));
  for (const auto& other : others) REQUIRE(other->line() == "waiting");
  CHECK(schema.sql("SELECT count(*) FROM @migrations").integer(0, 0) == 2);
  doomed.kill();
  int applied = 0;
  for (const auto& other : others) {
    const std::string last = other->line();
    REQUIRE(last.starts_with("applied "));
    applied += std::atoi(last.c_str() + 8);
  }
  CHECK(applied == newest - 2);
  CHECK(schema.migrator().up() == 0);
}
#endif

TEST_CASE("ups and downs at once take turns") {
  ScratchSchema schema;
  schema.migrator().up();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { schema.migrator().up(); });
    threads.emplace_back([&] { schema.migrator().down(3); });
  }
  for (std::thread& thread : threads) thread.join();
  const auto count = schema.sql("SELECT count(*) FROM @migrations").integer(0, 0);
  CHECK((count == 3 || count == newest));
}
