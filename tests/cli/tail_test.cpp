// millrace tail beside a real worker.
#include "cli/command.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <sstream>

using namespace millrace::test;

namespace {

// Its standard output, readable while it runs.
class Paper {
 public:
  Paper() : fd_(::memfd_create("tail", MFD_CLOEXEC)) {}
  ~Paper() { ::close(fd_); }
  Paper(const Paper&) = delete;
  Paper& operator=(const Paper&) = delete;
  Paper(Paper&&) = delete;
  Paper& operator=(Paper&&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::string text() const {
    std::string all;
    std::array<char, 4096> part{};
    for (off_t at = 0;; at += static_cast<off_t>(part.size())) {
      const ssize_t count = ::pread(fd_, part.data(), part.size(), at);
      if (count <= 0) return all;
      all.append(part.data(), static_cast<std::size_t>(count));
    }
  }
  [[nodiscard]] bool has(const std::string& what) const {
    return eventually([&] { return text().find(what) != std::string::npos; });
  }

 private:
  int fd_;
};

}  // namespace

TEST_CASE("tail prints each transition of a live queue, and Ctrl-C ends it with 0") {
  Schema schema;
  const Paper paper;
  Command tail({"--schema", schema.name(), "tail", "--interval", "50ms"}, {.output = paper.fd()});
  REQUIRE(tail.says("following all queues every 50ms; Ctrl-C ends it"));
  const Command worker({"--schema", schema.name(), "worker", "--exec", "good=true", "--exec", "bad=echo 'printer on fire' >&2; exit 65",
                        "--exec", "moody=echo 'no paper' >&2; exit 1"});
  enqueue(schema, {"good"});
  REQUIRE(paper.has("completed"));
  enqueue(schema, {"bad", "--correlation", "order-7"});
  REQUIRE(paper.has("printer on fire"));
  enqueue(schema, {"moody", "--retry", "fixed(1h)"});
  REQUIRE(paper.has("no paper"));
  enqueue(schema, {"good", "--delay", "1h"});
  REQUIRE(paper.has("scheduled"));
  tail.signal(SIGINT);
  const Ended ended = tail.wait();
  CHECK(ended.code == 0);
  CHECK(ended.err == "following all queues every 50ms; Ctrl-C ends it\n");
  const std::string text = paper.text();
  CHECK(text.find('\033') == std::string::npos);
  CHECK(text.find("  1     good          default  pending\n") != std::string::npos);
  CHECK(text.find("  1     good          default  running    1/5\n") != std::string::npos);
  CHECK(text.find("  1     good          default  completed  1/5    ") != std::string::npos);
  CHECK(text.find("  2     bad           default  failed     1/5    ") != std::string::npos);
  CHECK(text.find("ms  exit status 65: printer on fire\n") != std::string::npos);
  CHECK(text.find("  3     moody         default  retrying   1/5    ") != std::string::npos);
  CHECK(text.find("ms  exit status 1: no paper  at ") != std::string::npos);
  CHECK(text.find("  4     good          default  scheduled         at ") != std::string::npos);
}

TEST_CASE("tail --json prints JSON lines; --since tells what happened before; SIGTERM ends it too") {
  Schema schema;
  REQUIRE(run(schema, {"enqueue", "bad", "--correlation", "order-7"}).code == 0);
  REQUIRE(run(schema, {"enqueue", "other"}).code == 0);
  REQUIRE(run(schema, {"worker", "--exec", "bad=echo 'printer on fire' >&2; exit 65", "--exec", "other=true", "--until-empty"}).code == 0);
  const Paper paper;
  Command tail({"--schema", schema.name(), "tail", "--json", "--since", "10m", "--correlation", "order-7", "--interval", "50ms"},
               {.output = paper.fd()});
  REQUIRE(paper.has("\"failed\""));
  REQUIRE(run(schema, {"task", "retry", "1"}).code == 0);
  REQUIRE(eventually([&] {
    const std::string text = paper.text();
    return std::count(text.begin(), text.end(), '\n') == 4;
  }));
  tail.signal(SIGTERM);
  const Ended ended = tail.wait();
  CHECK(ended.code == 0);
  CHECK(ended.err.empty());
  std::vector<nlohmann::json> lines;
  std::istringstream text(paper.text());
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  REQUIRE(lines.size() == 4);
  CHECK(lines[0]["status"] == "pending");
  CHECK(lines[1]["status"] == "running");
  CHECK(lines[2]["status"] == "failed");
  CHECK(lines[2]["id"] == 1);
  CHECK(lines[2]["kind"] == "bad");
  CHECK(lines[2]["queue"] == "default");
  CHECK(lines[2]["attempt"] == 1);
  CHECK(lines[2]["duration_ms"].is_number());
  CHECK(lines[2]["error"] == "exit status 65: printer on fire");
  CHECK(lines[2]["correlation"] == "order-7");
  CHECK(lines[3]["status"] == "pending");
  CHECK(lines[3]["attempt"] == 0);
  CHECK(lines[3]["duration_ms"].is_null());
  CHECK(lines[3]["error"].is_null());
  for (const auto& line : lines) CHECK(line["id"] == 1);
}

TEST_CASE("tail refuses what is out of range, and says what is missing") {
  Schema schema;
  check_refused(run(schema, {"tail", "--interval", "1ms"}), 2, "interval is 1 ms; allowed is 50 to 60000 ms");
  check_refused(run(schema, {"tail", "--since", "yesterday"}), 2, "--since");
  check_refused(run(schema, {"tail", "--since", "0s"}), 2, "since");
  check_refused(run(schema, {"tail", "--queue", ""}), 2, "queue");
  check_refused(run_plain({"--schema", "nowhere", "tail"}), 1, "migrate up");
}

TEST_CASE("tail ends when its reader goes away") {
  Schema schema;
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  Command tail({"--schema", schema.name(), "tail", "--interval", "50ms"}, {.output = ends[1]});
  ::close(ends[1]);
  REQUIRE(tail.says("following"));
  ::close(ends[0]);
  CHECK(tail.wait().code == 0);
}
