#include "dev/run_program.hpp"

#include <millrace/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>

extern char** environ;

namespace millrace::dev {
namespace {

class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) throw Error(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  [[nodiscard]] int read_end() const { return ends_[0]; }
  [[nodiscard]] int write_end() const { return ends_[1]; }
  void close_read() { close_end(ends_[0]); }
  void close_write() { close_end(ends_[1]); }

 private:
  static void close_end(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
  std::array<int, 2> ends_{-1, -1};
};

// Everything the child needs, made before the fork: after it, only async-signal-safe calls are allowed.
struct Prepared {
  explicit Prepared(const Program& program) : as(program.as), texts(program.argv) {
    const std::size_t arguments = texts.size();
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string_view text = *variable;
      const bool personal = text.starts_with("HOME=") || text.starts_with("USER=") || text.starts_with("LOGNAME=");
      if (!text.starts_with("PG") && !(as && personal)) texts.emplace_back(text);
    }
    if (as) {
      texts.insert(texts.end(), {"HOME=" + as->home, "USER=" + as->name, "LOGNAME=" + as->name});
      int count = 0;
      ::getgrouplist(as->name.c_str(), as->gid, nullptr, &count);
      groups.resize(static_cast<std::size_t>(count));
      ::getgrouplist(as->name.c_str(), as->gid, groups.data(), &count);
    }
    for (std::size_t i = 0; i < texts.size(); ++i) (i < arguments ? argv : envp).push_back(texts[i].data());
    argv.push_back(nullptr);
    envp.push_back(nullptr);
  }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  std::optional<SystemUser> as;
  std::vector<std::string> texts;
  std::vector<gid_t> groups;
  std::vector<char*> argv;
  std::vector<char*> envp;
};

// Never returns. Writes errno to `trouble` if the program cannot be run.
[[noreturn]] void become(const Prepared& prepared, int in, int out, int err, int trouble) {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  bool ok = ::dup2(in, 0) >= 0 && ::dup2(out, 1) >= 0 && ::dup2(err, 2) >= 0;
  // A server must not keep what its starter had open: a lock, or a pipe whose reader waits for its end.
  ok = ok && ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
  if (ok && prepared.as) {
    ok = ::setgroups(prepared.groups.size(), prepared.groups.data()) == 0 && ::setgid(prepared.as->gid) == 0 &&
         ::setuid(prepared.as->uid) == 0 && ::chdir("/") == 0;
  }
  if (ok) ::execve(prepared.argv[0], prepared.argv.data(), prepared.envp.data());
  const int error = errno;
  [[maybe_unused]] const auto written = ::write(trouble, &error, sizeof error);
  ::_exit(127);
}

void check_started(const Program& program, Pipe& trouble) {
  trouble.close_write();
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(trouble.read_end(), &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  if (got > 0) throw Error(fmt::format("cannot run {}: {}", program.argv.at(0), std::strerror(error)));
}

pid_t checked_fork() {
  const pid_t child = ::fork();
  if (child < 0) throw Error(fmt::format("cannot start a process: {}", std::strerror(errno)));
  return child;
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void read_both(Pipe& out, Pipe& err, Finished& finished) {
  std::array<pollfd, 2> watched{{{out.read_end(), POLLIN, 0}, {err.read_end(), POLLIN, 0}}};
  std::array<char, 65536> buffer{};
  while (watched[0].fd >= 0 || watched[1].fd >= 0) {
    if (::poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return;
    for (std::size_t i = 0; i < watched.size(); ++i) {
      if (watched[i].fd < 0 || watched[i].revents == 0) continue;
      const ssize_t got = ::read(watched[i].fd, buffer.data(), buffer.size());
      if (got > 0) (i == 0 ? finished.out : finished.err).append(buffer.data(), static_cast<std::size_t>(got));
      if (got == 0 || (got < 0 && errno != EINTR)) watched[i].fd = -1;
    }
  }
}

class File {
 public:
  File(const char* path, int flags) : fd_(::open(path, flags | O_CLOEXEC, 0600)) {
    if (fd_ < 0) throw Error(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::optional<SystemUser> find_user(const std::string& name) {
  std::array<char, 16384> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return {};
  return SystemUser{.uid = entry.pw_uid, .gid = entry.pw_gid, .name = entry.pw_name, .home = entry.pw_dir};
}

Finished run_program(const Program& program) {
  const Prepared prepared(program);
  const File nothing("/dev/null", O_RDONLY);
  Pipe out, err, trouble;
  const pid_t child = checked_fork();
  if (child == 0) become(prepared, nothing.fd(), out.write_end(), err.write_end(), trouble.write_end());
  out.close_write();
  err.close_write();
  Finished finished;
  try {
    check_started(program, trouble);
    read_both(out, err, finished);
  } catch (...) {
    wait_for(child);
    throw;
  }
  finished.status = wait_for(child);
  return finished;
}

pid_t start_daemon(const Program& program, const std::filesystem::path& log) {
  const Prepared prepared(program);
  const File nothing("/dev/null", O_RDONLY);
  const File to(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW);
  if (program.as && ::fchown(to.fd(), program.as->uid, program.as->gid) != 0) {
    throw Error(fmt::format("cannot give {} to {}: {}", log.string(), program.as->name, std::strerror(errno)));
  }
  Pipe trouble, id;
  // The child in between ends at once, so that the daemon's parent is init, which takes note of its end.
  const pid_t between = checked_fork();
  if (between == 0) {
    ::setsid();
    const pid_t daemon = ::fork();
    if (daemon == 0) become(prepared, nothing.fd(), to.fd(), to.fd(), trouble.write_end());
    [[maybe_unused]] const auto written = ::write(id.write_end(), &daemon, sizeof daemon);
    ::_exit(0);
  }
  wait_for(between);
  check_started(program, trouble);
  id.close_write();
  pid_t daemon = -1;
  if (::read(id.read_end(), &daemon, sizeof daemon) != static_cast<ssize_t>(sizeof daemon) || daemon < 0) {
    throw Error(fmt::format("cannot start {}", program.argv.at(0)));
  }
  return daemon;
}

}  // namespace millrace::dev
