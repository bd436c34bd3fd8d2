// Progress on a terminal, and where there is none.
#include "cli/command.hpp"
#include "engine/worker_sql.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

using namespace millrace::test;

namespace {

// The two ends of a terminal: the command writes to one, the test reads at the other.
class Terminal {
 public:
  Terminal() : ours_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (ours_ < 0 || ::grantpt(ours_) != 0 || ::unlockpt(ours_) != 0) throw std::runtime_error("no terminal");
    theirs_ = ::open(::ptsname(ours_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (theirs_ < 0) throw std::runtime_error("no terminal");
  }
  ~Terminal() {
    ::close(ours_);
    ::close(theirs_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  Terminal(Terminal&&) = delete;
  Terminal& operator=(Terminal&&) = delete;

  [[nodiscard]] int end() const noexcept { return theirs_; }
  /// Waits until it has shown `text`.
  [[nodiscard]] bool shows(const std::string& text) {
    return eventually([&] { return seen().find(text) != std::string::npos; });
  }
  /// All that it has shown so far.
  [[nodiscard]] const std::string& seen() {
    pollfd watched{ours_, POLLIN, 0};
    char buffer[4096];
    while (::poll(&watched, 1, 0) > 0) {
      const auto got = ::read(ours_, buffer, sizeof buffer);
      if (got <= 0) break;
      seen_.append(buffer, static_cast<std::size_t>(got));
    }
    return seen_;
  }

 private:
  int ours_;
  int theirs_ = -1;
  std::string seen_;
};

// What the worker of task 1 reports under this lease; `total` may be null.
void report(Schema& schema, std::int64_t lease, int done, const std::string& total, const std::string& note) {
  schema.connection().run(
      fmt::format("SELECT record_reports('{}', '{{1}}', '{{{}}}', '{{1}}', '{{{}}}', '{{{}}}', ARRAY[E'{}'], '{{0}}', '{{}}', '{{}}', "
                  "'{{}}', '{{}}')",
                  first, lease, done, total, note));
}

std::int64_t running(Schema& schema) {
  enroll(schema, first);
  enqueue(schema, 1);
  return lease_of(schema.connection().run(claim_sql(first)));
}

void complete(Schema& schema, std::int64_t lease) { schema.connection().run(complete_sql(first, "1", std::to_string(lease))); }

}  // namespace

TEST_CASE("task wait shows progress as a bar on a terminal, and wipes it away") {
  Schema schema;
  const auto lease = running(schema);
  Terminal terminal;
  Command waiting({"--schema", schema.name(), "task", "wait", "1"}, {.error = terminal.end()});
  REQUIRE(eventually([&] { return schema.number("SELECT count(*) FROM waits WHERE follow") == 1; }));
  report(schema, lease, 1, "4", "first");
  CHECK(terminal.shows("\r[#####---------------]  25 %  1/4  first\033[K"));
  report(schema, lease, 2, "null", "no total");
  CHECK(terminal.shows("\r2  no total\033[K"));
  report(schema, lease, 9, "4", "more than all");
  CHECK(terminal.shows("\r[####################] 100 %  9/4  more than all\033[K"));
  // A note commands no terminal.
  report(schema, lease, 3, "4", "bell\\007 and \\033[2J");
  CHECK(terminal.shows(" 75 %  3/4  bell? and ?[2J\033[K"));
  complete(schema, lease);
  const Ended ended = waiting.wait();
  CHECK(ended.code == 0);
  CHECK(ended.out == "task 1 is completed\n");
  CHECK(terminal.seen().ends_with("\r\033[K"));
}

TEST_CASE("without a terminal task wait shows no bar") {
  Schema schema;
  const auto lease = running(schema);
  report(schema, lease, 1, "4", "first");
  Command waiting({"--schema", schema.name(), "task", "wait", "1"});
  REQUIRE(eventually([&] { return schema.number("SELECT count(*) FROM waits") == 1; }));
  report(schema, lease, 2, "4", "second");
  complete(schema, lease);
  const Ended ended = waiting.wait();
  CHECK(ended.code == 0);
  CHECK(ended.err.empty());
}

TEST_CASE("task show shows how far a task is, also after its end") {
  Schema schema;
  const auto lease = running(schema);
  report(schema, lease, 1, "4", "first");
  CHECK(run(schema, {"task", "show", "1"}).out.find("progress      [#####---------------]  25 %  1/4  first\n") != std::string::npos);
  report(schema, lease, 4, "4", "all");
  complete(schema, lease);
  const auto progress = run_json(schema, {"task", "show", "1"})["progress"];
  CHECK(progress["done"] == 4);
  CHECK(progress["total"] == 4);
  CHECK(progress["note"] == "all");
  CHECK(progress["attempt"] == 1);
}
