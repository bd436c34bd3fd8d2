#include "cli/lock_run.hpp"

#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/duration.hpp"
#include "cli/failure.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <stop_token>
#include <string_view>
#include <system_error>
#include <utility>

namespace millrace::cli {
namespace {

using Clock = std::chrono::steady_clock;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "no file descriptor is left");
  }
  ~Fd() { close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd(Fd&&) = delete;
  Fd& operator=(Fd&&) = delete;
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

// On a terminal the command stays in our process group, so that job control and Ctrl-C reach it as they would without us.
bool on_terminal() {
  const int tty = ::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
  if (tty < 0) return false;
  ::close(tty);
  return true;
}

class Child {
 public:
  Child(const std::vector<std::string>& command, const std::vector<std::string>& environment) : own_group_(!on_terminal()) {
    sigset_t ours;
    sigemptyset(&ours);
    for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT}) sigaddset(&ours, number);
    ::pthread_sigmask(SIG_BLOCK, &ours, &before_);
    signals_ = ::signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
    start(command, environment);
  }
  ~Child() {
    if (pid_ > 0) {
      signal(SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(signals_);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child(Child&&) = delete;
  Child& operator=(Child&&) = delete;

  /// Waits for its end; returns its exit code. When `lost` stops it is told to end, and `patience` later made to.
  int wait(const std::stop_token& lost, Milliseconds patience) {
    const Fd told(::eventfd(0, EFD_CLOEXEC));
    const std::stop_callback tell(lost, [&told] { static_cast<void>(::eventfd_write(told.get(), 1)); });
    auto kill_at = Clock::time_point::max();
    for (;;) {
      if (const auto code = take_signals()) return *code;
      if (lost.stop_requested() && kill_at == Clock::time_point::max()) {
        signal(SIGTERM);
        kill_at = Clock::now() + patience;
      }
      if (Clock::now() >= kill_at) signal(SIGKILL);
      const bool counting = kill_at != Clock::time_point::max();
      const auto left = counting ? std::chrono::ceil<Milliseconds>(kill_at - Clock::now()) : Milliseconds(-1);
      pollfd watched[2] = {{signals_, POLLIN, 0}, {counting ? -1 : told.get(), POLLIN, 0}};
      // Killed already: only its end is awaited.
      ::poll(watched, 2, counting && left.count() <= 0 ? 1000 : static_cast<int>(left.count()));
    }
  }

 private:
  void start(const std::vector<std::string>& command, const std::vector<std::string>& environment) {
    // Everything the child needs is made before the fork: after it, in a process with threads, only async-signal-safe calls.
    std::vector<char*> argv, env;
    for (const std::string& one : command) argv.push_back(const_cast<char*>(one.c_str()));
    argv.push_back(nullptr);
    for (const std::string& one : environment) env.push_back(const_cast<char*>(one.c_str()));
    for (char** one = environ; *one != nullptr; ++one) {
      if (std::strncmp(*one, "MILLRACE_LOCK_", 14) != 0 && std::strncmp(*one, "MILLRACE_SCHEMA=", 16) != 0) env.push_back(*one);
    }
    env.push_back(nullptr);
    int failure[2];
    if (::pipe2(failure, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    const Fd reading(failure[0]);
    Fd writing(failure[1]);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid_ == 0) become(argv.data(), env.data(), parent, writing.get());
    if (own_group_) ::setpgid(pid_, pid_);
    writing.close();
    int error = 0;
    ssize_t got = 0;
    do got = ::read(reading.get(), &error, sizeof error);
    while (got < 0 && errno == EINTR);
    if (got != sizeof error) return;
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    throw Exit{fail(error == ENOENT ? 127 : 126, fmt::format("cannot run {}: {}", command.front(), std::strerror(error)))};
  }
  [[noreturn]] void become(char* const* argv, char* const* env, pid_t parent, int failure) const {
    if (own_group_) ::setpgid(0, 0);
    // If we are killed nobody extends the lock: then the command must not go on either.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent) {
      ::signal(SIGPIPE, SIG_DFL);
      ::sigprocmask(SIG_SETMASK, &before_, nullptr);
      ::execvpe(argv[0], argv, env);
    }
    const int error = errno;
    static_cast<void>(!::write(failure, &error, sizeof error));
    ::_exit(127);
  }

  void signal(int number) const { ::kill(own_group_ ? -pid_ : pid_, number); }

  // Passes on what we are told, and looks whether it has ended.
  std::optional<int> take_signals() {
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof info) == sizeof info) {
      const int number = static_cast<int>(info.ssi_signo);
      // What is typed on the terminal goes to its whole process group.
      const bool typed = !own_group_ && info.ssi_code == SI_KERNEL;
      if (number != SIGCHLD && !typed) signal(number);
    }
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return {};
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  const bool own_group_;
  sigset_t before_{};
  int signals_ = -1;
  pid_t pid_ = -1;
};

// How it was let go is worth a line only if something is wrong with it.
void let_go(Lock& lock) {
  try {
    if (!lock.release()) fail(0, fmt::format("lock \"{}\" could not be released: it was taken away, or the database is", lock.name()));
  } catch (const Error& e) {
    fail(0, fmt::format("lock \"{}\" could not be released and will expire: {}", lock.name(), e.what()));
  }
}

}  // namespace

StateError refusal(const std::string& name, Milliseconds waited, const std::optional<std::string>& owner,
                   const std::optional<Time>& expires_at) {
  const std::string who = owner && expires_at
                              ? fmt::format("{} has it until {}", *owner, base::format_time(*expires_at).substr(0, 19) + 'Z')
                              : "a transaction that used it, or acquires it, has not ended";
  if (waited.count() > 0)
    return StateError(fmt::format("lock \"{}\" could not be acquired within {}: {}", name, format_duration(waited), who));
  return StateError(fmt::format("lock \"{}\" could not be acquired: {}; --wait DURATION keeps trying", name, who));
}

int run_locked(const Globals& globals, const std::string& name, const LockOptions& options, const std::vector<std::string>& command) {
  const ClientOptions database{.database = globals.url(), .schema = globals.schema};
  auto lock = Lock::acquire(database, name, options);
  if (!lock) {
    const auto holder = Client(database).lock_holder(name);
    throw refusal(name, options.wait, holder ? std::optional(holder->owner) : std::nullopt,
                  holder ? std::optional(holder->expires_at) : std::nullopt);
  }
  const auto lost = lock->stop_token();
  Child child(command, {"MILLRACE_LOCK_NAME=" + name, fmt::format("MILLRACE_LOCK_TOKEN={}", lock->token().value),
                        "MILLRACE_SCHEMA=" + globals.schema});
  const int code = child.wait(lost, options.ttl / 10);
  if (lost.stop_requested())
    throw StateError(fmt::format("lock \"{}\" was lost while the command ran, and the command was told to end: exit code {}", name, code));
  let_go(*lock);
  return code;
}

}  // namespace millrace::cli
