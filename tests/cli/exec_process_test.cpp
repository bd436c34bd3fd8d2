// millrace worker --exec: the program's processes, from their start to the last one's end.
#include "cli/command.hpp"
#include "support/wait.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace millrace::test;

namespace {

struct House {
  Schema schema{};

  std::string value(const std::string& what) { return schema.value("SELECT " + what + " FROM tasks ORDER BY id LIMIT 1"); }
  bool reaches(const std::string& what, const std::string& wanted) {
    return eventually([&] { return value(what) == wanted; });
  }
  Words worker(const std::string& program, Words more = {}) {
    Words words{"--schema", schema.name(), "worker", "--queue", "default=2", "--exec", "run=" + program};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

// A folder of the test for what its programs write down.
class Notes {
 public:
  Notes() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-cli-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
  }
  ~Notes() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Notes(const Notes&) = delete;
  Notes& operator=(const Notes&) = delete;
  Notes(Notes&&) = delete;
  Notes& operator=(Notes&&) = delete;
  [[nodiscard]] std::string path(const char* name) const { return (folder_ / name).string(); }
  // The process id that a program wrote there as its last deed before it is looked at.
  [[nodiscard]] pid_t pid(const char* name) const {
    REQUIRE(eventually([&] { return std::filesystem::is_symlink(path(name)); }));
    return static_cast<pid_t>(std::stol(std::filesystem::read_symlink(path(name)).string()));
  }

 private:
  std::filesystem::path folder_{};
};

// Where a program waits until the test lets it go on.
class Gate {
 public:
  explicit Gate(const Notes& notes) : path_(notes.path("gate")) {
    REQUIRE(::mkfifo(path_.c_str(), 0600) == 0);
    // For reading too: so neither of the two waits for the other to open it.
    fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd_ >= 0);
  }
  ~Gate() { ::close(fd_); }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  Gate(Gate&&) = delete;
  Gate& operator=(Gate&&) = delete;

  /// What the program does there.
  [[nodiscard]] std::string wait() const { return "read go < " + path_; }
  void open() const { CHECK(::write(fd_, "\n", 1) == 1); }

 private:
  std::string path_;
  int fd_ = -1;
};

// Links are made whole or not at all, so nobody reads half a process id.
std::string note(const Notes& notes, const char* name, const std::string& text) { return "ln -s " + text + ' ' + notes.path(name); }

// Whether it has ended. Its entry may stay until init takes note, which is not our concern.
bool gone(pid_t pid) {
  return eventually([&] {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    return !std::getline(file, line) || line.find(") Z") != std::string::npos;
  });
}

}  // namespace

TEST_CASE("a timeout ends the whole process group") {
  House house;
  Notes notes;
  enqueue(house.schema, {"run", "--timeout", "300ms", "--max-attempts", "1"});
  Command worker(house.worker("sleep 1000 & " + note(notes, "child", "$!") + "; wait"));
  const pid_t child = notes.pid("child");
  CHECK(house.reaches("status", "failed"));
  CHECK(gone(child));
  CHECK(house.value("errors->0->>'message'").starts_with("timed out after 300 ms"));
}

TEST_CASE("a timeout also ends what does not listen to SIGTERM") {
  House house;
  Notes notes;
  enqueue(house.schema, {"run", "--timeout", "300ms", "--max-attempts", "1"});
  Command worker(house.worker("trap '' TERM; sleep 1000 & " + note(notes, "child", "$!") + "; wait; sleep 1000"));
  const pid_t child = notes.pid("child");
  CHECK(house.reaches("status", "failed"));
  CHECK(gone(child));
  CHECK(house.value("errors->0->>'message'").starts_with("timed out after 300 ms"));
}

TEST_CASE("what a program leaves behind in its group ends with it") {
  House house;
  Notes notes;
  enqueue(house.schema, {"run"});
  Command worker(house.worker("sleep 1000 & " + note(notes, "child", "$!") + "; echo 7"));
  const pid_t child = notes.pid("child");
  CHECK(house.reaches("status", "completed"));
  CHECK(house.value("result") == "7");
  CHECK(gone(child));
}

TEST_CASE("cancelling a running task ends its program") {
  House house;
  Notes notes;
  const std::string id = enqueue(house.schema, {"run"});
  Command worker(house.worker("sleep 1000 & " + note(notes, "child", "$!") + "; wait", {"--heartbeat", "100ms"}));
  const pid_t child = notes.pid("child");
  CHECK(run(house.schema, {"task", "cancel", id}).out == "task " + id + " is running; its worker was asked to stop it\n");
  CHECK(house.reaches("status", "cancelled"));
  CHECK(gone(child));
}

TEST_CASE("at SIGTERM a worker claims nothing more, and lets its programs finish") {
  House house;
  Notes notes;
  const Gate gate(notes);
  enqueue(house.schema, {"run"});
  Command worker(house.worker(note(notes, "child", "$$") + "; " + gate.wait() + "; echo 1"));
  static_cast<void>(notes.pid("child"));
  worker.signal(SIGTERM);
  REQUIRE(worker.says("no more claims"));
  const std::string late = enqueue(house.schema, {"run"});
  gate.open();
  const Ended ended = worker.wait();
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK(house.value("status") == "completed");
  CHECK(house.schema.value("SELECT status FROM tasks WHERE id = " + late) == "pending");
  CHECK(house.schema.number("SELECT count(*) FROM workers") == 0);
}

TEST_CASE("a second signal ends the grace") {
  House house;
  Notes notes;
  enqueue(house.schema, {"run"});
  Command worker(house.worker("sleep 1000 & " + note(notes, "child", "$!") + "; wait", {"--grace", "1h"}));
  const pid_t child = notes.pid("child");
  worker.signal(SIGINT);
  REQUIRE(worker.says("no more claims"));
  CHECK(house.value("status") == "running");
  worker.signal(SIGINT);
  const Ended ended = worker.wait();
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK(gone(child));
  CHECK(house.value("status || ' ' || attempt") == "pending 0");
}

TEST_CASE("at the end of the grace a worker gives its tasks back, uncounted, and ends") {
  House house;
  Notes notes;
  for (int i = 0; i < 5; ++i) enqueue(house.schema, {"run", "--max-attempts", "1"});
  Command worker(house.worker("sleep 1000 & " + note(notes, "child-$MILLRACE_TASK_ID", "$!") + "; wait", {"--grace", "200ms"}));
  REQUIRE(eventually([&] { return house.schema.number("SELECT count(*) FROM tasks WHERE status = 'running'") >= 2; }));
  const pid_t child = notes.pid(("child-" + house.value("id")).c_str());
  const auto asked = std::chrono::steady_clock::now();
  worker.signal(SIGTERM);
  const Ended ended = worker.wait();
  INFO(ended.err);
  CHECK(std::chrono::steady_clock::now() - asked < std::chrono::seconds(10));
  CHECK(ended.code == 0);
  CHECK(gone(child));
  CHECK(house.schema.value("SELECT string_agg(status || ' ' || attempt, ', ') FROM tasks") ==
        "pending 0, pending 0, pending 0, pending 0, pending 0");
  CHECK(house.schema.number("SELECT count(*) FROM leases") == 0);
  CHECK(house.schema.number("SELECT count(*) FROM workers") == 0);
}

TEST_CASE("killed, a worker takes its programs along, and another one runs the task") {
  House house;
  Notes notes;
  enqueue(house.schema, {"run"});
  const Words short_lease{"--lease-ttl", "1s"};
  Command first(house.worker(note(notes, "first", "$$") + "; exec sleep 1000", short_lease));
  const pid_t program = notes.pid("first");
  first.signal(SIGKILL);
  CHECK(first.wait().code == 128 + SIGKILL);
  CHECK(gone(program));
  Command second(house.worker("echo '\"second\"'", short_lease));
  CHECK(house.reaches("status", "completed"));
  CHECK(house.value("result") == "\"second\"");
  CHECK(house.value("attempt") == "2");
}

TEST_CASE("without LISTEN a worker polls") {
  House house;
  Command worker(house.worker("echo 1", {"--no-listen", "--poll", "20ms"}));
  REQUIRE(eventually([&] { return house.schema.number("SELECT count(*) FROM workers") == 1; }));
  enqueue(house.schema, {"run"});
  CHECK(house.reaches("status", "completed"));
}

TEST_CASE("a worker whose parent ignored SIGCHLD learns of its programs' ends") {
  House house;
  enqueue(house.schema, {"run"});
  const Command worker(house.worker("echo 7"), {.ignored = {SIGCHLD}});
  CHECK(house.reaches("status", "completed"));
  CHECK(house.value("result") == "7");
}

TEST_CASE("a line that is still being written waits for its end, however much was said before it") {
  House house;
  Notes notes;
  const Gate gate(notes);
  std::ofstream said(notes.path("said"));
  for (int i = 0; i < 500; ++i) said << "forty characters, as long as a line is..\n";
  said << "millrace: progr";
  said.close();
  enqueue(house.schema, {"run"});
  const Command worker(house.worker("cat " + notes.path("said") + " >&2; " + gate.wait() + "; echo 'ess 3/10 third' >&2; echo 1"));
  CHECK(eventually([&] { return house.schema.number("SELECT count(*) FROM task_logs") >= 500; }));
  gate.open();
  CHECK(house.reaches("status", "completed"));
  CHECK(house.schema.value("SELECT concat_ws(' ', done, total, note) FROM task_progress") == "3 10 third");
  CHECK(house.schema.number("SELECT count(*) FROM task_logs WHERE line !~ '^forty'") == 0);
}

TEST_CASE("a line without an end is passed on in pieces, between two characters") {
  House house;
  Notes notes;
  const Gate gate(notes);
  std::ofstream said(notes.path("said"));
  for (int i = 0; i < 5'999; ++i) said << "\u6f22";
  // Two thirds of a character.
  said << "\xe6\xbc";
  said.close();
  enqueue(house.schema, {"run"});
  const Command worker(house.worker("cat " + notes.path("said") + " >&2; " + gate.wait() + "; printf '\\242 end' >&2; echo 1"));
  CHECK(eventually([&] { return house.schema.number("SELECT count(*) FROM task_logs") >= 1; }));
  gate.open();
  CHECK(house.reaches("status", "completed"));
  CHECK(house.schema.value("SELECT line FROM task_logs ORDER BY seq DESC LIMIT 1") == "\u6f22 end");
}
