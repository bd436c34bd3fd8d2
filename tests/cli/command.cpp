#include "cli/command.hpp"

#include "support/wait.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <sstream>
#include <stdexcept>

extern char** environ;

namespace millrace::test {
namespace {

// A file without a name: unlike a pipe it never fills up, so nobody has to read while the command runs.
int nameless_file(std::string_view content = {}) {
  const int fd = ::memfd_create("output", MFD_CLOEXEC);
  if (fd < 0 || ::write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size())) throw std::runtime_error("no file");
  ::lseek(fd, 0, SEEK_SET);
  return fd;
}

std::string content_of(int fd) {
  std::string all(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  const auto got = ::pread(fd, all.data(), all.size(), 0);
  all.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return all;
}

Words environment_of(const Start& start) {
  Words all = start.environment;
  // getenv finds the first one.
  all.push_back("MILLRACE_DATABASE=" + url_with_password());
  for (char** one = environ; *one != nullptr; ++one) {
    const std::string_view text = *one;
    // What the developer has set for daily work must not reach the tests.
    if (!text.starts_with("PG") && !text.starts_with("MILLRACE_") && !text.starts_with("DATABASE_URL=")) all.emplace_back(text);
  }
  return all;
}

std::vector<char*> pointers(Words& words) {
  std::vector<char*> all;
  all.reserve(words.size() + 1);
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

void give(int file, int as) {
  if (file < 0) {
    ::close(as);
  } else {
    ::dup2(file, as);
  }
}

}  // namespace

std::string url_with_password() {
  const std::string url = database_url();
  return url + (url.find('?') == std::string::npos ? '?' : '&') + "password=" + password;
}

Command::Command(const Words& arguments, const Start& start)
    : in_(nameless_file(start.input)), out_(nameless_file()), err_(nameless_file()) {
  Words words{MILLRACE};
  words.insert(words.end(), arguments.begin(), arguments.end());
  Words environment = environment_of(start);
  const auto argv = pointers(words);
  const auto envp = pointers(environment);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ > 0) return;
  ::dup2(in_, STDIN_FILENO);
  give(start.output.value_or(out_), STDOUT_FILENO);
  give(start.error.value_or(err_), STDERR_FILENO);
  for (const int number : start.ignored) ::signal(number, SIG_IGN);
  if (::chdir(start.folder.c_str()) == 0) ::execve(argv[0], argv.data(), envp.data());
  ::_exit(127);
}

Command::~Command() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  for (const int fd : {in_, out_, err_}) ::close(fd);
}

void Command::signal(int number) const { ::kill(pid_, number); }

bool Command::says(std::string_view text) const {
  return eventually([&] { return content_of(err_).find(text) != std::string::npos; });
}

Ended Command::wait() {
  int status = 0;
  if (!eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; }, std::chrono::seconds(60))) {
    FAIL("millrace does not end; so far it said: " << content_of(out_) << content_of(err_));
  }
  pid_ = -1;
  Ended ended{WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), content_of(out_), content_of(err_)};
  CHECK(ended.out.find(password) == std::string::npos);
  CHECK(ended.err.find(password) == std::string::npos);
  return ended;
}

Ended run_plain(const Words& arguments, const Start& start) { return Command(arguments, start).wait(); }

Ended run(const Schema& schema, const Words& arguments, const Start& start) {
  Words all{"--schema", schema.name()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run_plain(all, start);
}

std::vector<nlohmann::json> run_lines(const Schema& schema, const Words& arguments, const Start& start) {
  Words all{"--json"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const Ended ended = run(schema, all, start);
  INFO(ended.err);
  REQUIRE(ended.code == 0);
  CHECK(ended.err == "");
  std::vector<nlohmann::json> documents;
  std::istringstream lines(ended.out);
  for (std::string line; std::getline(lines, line);) documents.push_back(nlohmann::json::parse(line));
  return documents;
}

nlohmann::json run_json(const Schema& schema, const Words& arguments, const Start& start) {
  const auto documents = run_lines(schema, arguments, start);
  REQUIRE(documents.size() == 1);
  return documents[0];
}

std::string enqueue(const Schema& schema, const Words& arguments, const Start& start) {
  Words all{"enqueue"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run_json(schema, all, start)["id"].dump();
}

void check_refused(const Ended& ended, int code, std::string_view part) {
  INFO("it said: " << ended.out << ended.err);
  CHECK(ended.code == code);
  CHECK(ended.out == "");
  CHECK(std::count(ended.err.begin(), ended.err.end(), '\n') == 1);
  CHECK(ended.err.starts_with("millrace: "));
  CHECK(ended.err.ends_with("\n"));
  CHECK(ended.err.find(part) != std::string::npos);
}

}  // namespace millrace::test
