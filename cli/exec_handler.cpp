#include "cli/exec_handler.hpp"

#include "base/json_text.hpp"
#include "cli/exec_progress.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace millrace::cli {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t output_bytes_max = 1'048'576;
constexpr std::size_t message_bytes_max = 3'000;
constexpr std::size_t line_bytes_max = 16'384;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { close(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

struct Pipe {
  Fd read;
  Fd write;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error(fmt::format("no pipe for the program: {}", std::strerror(errno)));
  return {Fd(ends[0]), Fd(ends[1])};
}

// The length of the text without its last character, if that is cut off.
std::size_t whole_characters(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return length > back ? text.size() - back : text.size();
  }
  return text.size();
}

// One program under way.
class Child {
 public:
  /// `on_lines` gets what it says on standard error, whole lines as they come.
  Child(const std::string& command, const std::vector<std::string>& environment, std::string_view input,
        std::function<void(std::string_view)> on_lines)
      : in_(make_pipe()), out_(make_pipe()), err_(make_pipe()), input_(input), on_lines_(std::move(on_lines)) {
    // Everything the child needs is made before the fork: after it, in a process with threads, only async-signal-safe calls.
    std::vector<char*> env;
    env.reserve(environment.size());
    for (const std::string& one : environment) env.push_back(const_cast<char*>(one.c_str()));
    // What this worker was started with is not the task's.
    for (char** one = environ; *one != nullptr; ++one) {
      if (std::strncmp(*one, "MILLRACE_", 9) != 0 && std::strncmp(*one, "TRACEPARENT=", 12) != 0) env.push_back(*one);
    }
    env.push_back(nullptr);
    const char* const argv[] = {"/bin/sh", "-c", command.c_str(), nullptr};
    // Until it has let go of this worker's handlers, a signal that is meant for the program would be taken for the worker's.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) become(const_cast<char* const*>(argv), env.data(), parent);
    const int error = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid_ < 0) throw std::runtime_error(fmt::format("the program cannot be started: {}", std::strerror(error)));
    ::setpgid(pid_, pid_);
    in_.read.close();
    out_.write.close();
    err_.write.close();
    for (const int fd : {in_.write.get(), out_.read.get(), err_.read.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  ~Child() {
    if (pid_ > 0) {
      ::kill(-pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child(Child&&) = delete;
  Child& operator=(Child&&) = delete;

  /// Feeds it and listens to it until it ends; returns its wait status.
  int run(const std::stop_token& stop) {
    Clock::time_point kill_at = Clock::time_point::max();
    bool asked = false;
    for (;;) {
      if (stop.stop_requested() && !asked) {
        asked = true;
        ::kill(-pid_, SIGTERM);
        kill_at = Clock::now() + 2s;
      }
      if (Clock::now() >= kill_at) ::kill(-pid_, SIGKILL);
      if (ended()) {
        // Whatever it left behind in its group must not hold the pipes, or outlive it.
        ::kill(-pid_, SIGKILL);
        const int status = take_status();
        exchange(0);
        pass_lines(true);
        return status;
      }
      exchange(10);
    }
  }
  [[nodiscard]] const std::string& output() const noexcept { return output_; }
  [[nodiscard]] const std::string& errors() const noexcept { return errors_; }

 private:
  [[noreturn]] void become(char* const* argv, char* const* env, pid_t parent) const {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // Of a death before that nobody tells.
    if (::getppid() != parent) ::_exit(127);
    ::signal(SIGPIPE, SIG_DFL);
    ::signal(SIGTERM, SIG_DFL);
    ::signal(SIGINT, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(in_.read.get(), STDIN_FILENO);
    ::dup2(out_.write.get(), STDOUT_FILENO);
    ::dup2(err_.write.get(), STDERR_FILENO);
    ::execve(argv[0], argv, env);
    ::_exit(127);
  }

  // Whether it has ended. Nobody takes note of that yet: so long the number of its group is no other's.
  bool ended() {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0) return info.si_pid == pid_;
    if (errno != EINTR) forget();
    return false;
  }
  int take_status() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0) {
      if (errno != EINTR) forget();
    }
    pid_ = -1;
    return status;
  }
  // Somebody else took note of its end, so its number may be another's: no signal is sent there any more.
  [[noreturn]] void forget() {
    const int error = errno;
    pid_ = -1;
    throw std::runtime_error(fmt::format("the program is gone, and nobody tells how it ended: {}", std::strerror(error)));
  }

  // One turn of reading and writing whatever can be.
  void exchange(int wait_ms) {
    pollfd fds[3] = {{in_.write.get(), POLLOUT, 0}, {out_.read.get(), POLLIN, 0}, {err_.read.get(), POLLIN, 0}};
    if (input_.empty()) {
      in_.write.close();
      fds[0].fd = -1;
    }
    ::poll(fds, 3, wait_ms);
    if (fds[0].revents != 0) {
      const auto written = ::write(in_.write.get(), input_.data(), input_.size());
      if (written > 0) input_.remove_prefix(static_cast<std::size_t>(written));
      // It does not want to read: no fault of ours.
      else if (written < 0 && errno != EAGAIN && errno != EINTR)
        input_ = {};
    }
    if (fds[1].revents != 0) drain(out_.read, output_);
    if (fds[2].revents != 0) {
      std::string more;
      drain(err_.read, more);
      lines_ += more;
      errors_ += more;
      trim(errors_);
      pass_lines(false);
    }
  }
  // On to whom they are for: whole lines, and at the end all there is. What is too long to be waited for goes in pieces.
  void pass_lines(bool all) {
    std::size_t end = all ? lines_.size() : lines_.rfind('\n') + 1;
    if (lines_.size() - end > line_bytes_max) end = whole_characters(lines_);
    if (end == 0) return;
    on_lines_(std::string_view(lines_).substr(0, end));
    lines_.erase(0, end);
  }
  static void trim(std::string& text) {
    if (text.size() > 2 * output_bytes_max) text.erase(0, text.size() - output_bytes_max);
  }
  static void drain(Fd& from, std::string& into) {
    char buffer[65'536];
    // As much as a pipe holds. Whoever writes faster than we read must neither keep us from looking at the stop, nor make us drop
    // the middle of a line before it was passed on.
    for (std::size_t turns = 0; turns < output_bytes_max / sizeof buffer; ++turns) {
      const auto got = ::read(from.get(), buffer, sizeof buffer);
      if (got == 0) from.close();
      if (got <= 0) return;
      into.append(buffer, static_cast<std::size_t>(got));
      trim(into);
    }
  }

  Pipe in_;
  Pipe out_;
  Pipe err_;
  std::string_view input_;
  std::string output_;
  std::string errors_;
  std::string lines_;  // of errors_, not passed on yet
  std::function<void(std::string_view)> on_lines_;
  pid_t pid_ = -1;
};

std::string last_line(std::string_view text) {
  while (!text.empty()) {
    const std::size_t newline = text.find_last_of('\n');
    const std::string_view line = newline == std::string_view::npos ? text : text.substr(newline + 1);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) return std::string(line);
    if (newline == std::string_view::npos) break;
    text = text.substr(0, newline);
  }
  return {};
}

std::string tail(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  if (text.size() > message_bytes_max) text = text.substr(text.size() - message_bytes_max);
  return std::string(text);
}

std::string complaint(const std::string& what, const std::string& errors) {
  const std::string end = tail(without_progress(errors));
  return end.empty() ? what : what + ": " + end;
}

}  // namespace

RawHandler exec_handler(std::string command, std::string schema) {
  return [command = std::move(command), schema = std::move(schema)](Context& context) -> Outcome<std::string> {
    std::vector<std::string> environment = {fmt::format("MILLRACE_TASK_ID={}", context.task_id().value),
                                            fmt::format("MILLRACE_KIND={}", context.kind()),
                                            fmt::format("MILLRACE_QUEUE={}", context.queue()),
                                            fmt::format("MILLRACE_ATTEMPT={}", context.attempt()),
                                            fmt::format("MILLRACE_MAX_ATTEMPTS={}", context.max_attempts()),
                                            fmt::format("MILLRACE_LEASE={}", context.lease().value),
                                            fmt::format("MILLRACE_WORKER={}", context.worker_id()),
                                            fmt::format("MILLRACE_SCHEMA={}", schema)};
    if (const auto id = context.correlation()) environment.push_back("MILLRACE_CORRELATION_ID=" + *id);
    if (const auto trace = context.traceparent()) environment.push_back("TRACEPARENT=" + *trace);
    Child child(command, environment, context.args(), [&context](std::string_view lines) { report_lines(context, lines); });
    const int status = child.run(context.stop_token());
    if (WIFSIGNALED(status))
      throw std::runtime_error(
          complaint(fmt::format("killed by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status))), child.errors()));
    switch (const int code = WEXITSTATUS(status)) {
      case 0: {
        std::string line = last_line(child.output());
        return base::is_json(line) ? line : std::string();
      }
      case 65: return fail(complaint("exit status 65", child.errors()));
      case 77: return cancel(complaint("exit status 77", child.errors()));
      case 75: throw std::runtime_error(complaint("exit status 75", child.errors()));
      default: throw std::runtime_error(complaint(fmt::format("exit status {}", code), child.errors()));
    }
  };
}

}  // namespace millrace::cli
