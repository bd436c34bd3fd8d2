#include "dev/server_process.hpp"

#include <millrace/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace millrace::dev {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
constexpr auto look_interval = 10ms;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// The lines of postmaster.pid, as PostgreSQL's miscadmin.h numbers them, from 0.
constexpr std::size_t pid_line = 0;
constexpr std::size_t status_line = 7;

std::string tail(const std::filesystem::path& log, std::uintmax_t from) {
  std::string text = read_file(log);
  text.erase(0, static_cast<std::size_t>(std::min<std::uintmax_t>(from, text.size())));
  constexpr std::size_t bytes_max = 2000;
  if (text.size() > bytes_max) text.erase(0, text.find('\n', text.size() - bytes_max) + 1);
  return text;
}

}  // namespace

bool ServerProcess::is_server(pid_t pid) const {
  // Arguments end with a NUL each; a zombie has none.
  const std::string command = read_file(fmt::format("/proc/{}/cmdline", pid));
  const std::string argument = std::string("\0-D\0", 4) + data_.native() + '\0';
  return command.find(argument) != std::string::npos;
}

// A process id alone proves nothing: after a restart of the machine or the container some other process has it, and
// without an init that reaps, a zombie keeps it. PostgreSQL takes every living process for a server, so give it one
// that cannot live. The rest of the file stays: it names the shared memory that orphaned backends may still use.
void ServerProcess::release_lock_file(const std::filesystem::path& file) const {
  auto lines = read_lines(file);
  if (lines.empty()) return;
  const int pid = std::atoi(lines[pid_line].c_str());
  const std::string command = read_file(fmt::format("/proc/{}/cmdline", pid));
  const bool postmaster = command.find(std::string("postgres\0", 9)) != std::string::npos;
  if (pid <= 0 || (::kill(pid, 0) != 0 && errno == ESRCH) || postmaster) return;
  lines[pid_line] = std::to_string(std::numeric_limits<int>::max());
  std::ofstream out(file, std::ios::trunc);
  for (const std::string& line : lines) out << line << '\n';
}

std::optional<pid_t> ServerProcess::pid() const {
  const auto lines = read_lines(data_ / "postmaster.pid");
  if (lines.empty()) return {};
  const pid_t pid = std::atoi(lines[pid_line].c_str());
  if (pid <= 0 || !is_server(pid)) return {};
  return pid;
}

bool ServerProcess::is_ready() const {
  const auto lines = read_lines(data_ / "postmaster.pid");
  return lines.size() > status_line && lines[status_line].starts_with("ready") && pid().has_value();
}

bool ServerProcess::wait_until_ready(std::chrono::seconds patience) const {
  for (const auto deadline = Clock::now() + patience; pid() && Clock::now() < deadline; std::this_thread::sleep_for(look_interval)) {
    if (is_ready()) return true;
  }
  return false;
}

void ServerProcess::start(const ServerBinaries& binaries, const std::optional<SystemUser>& as, std::chrono::seconds patience) {
  std::error_code none_yet;
  const auto log_size = std::filesystem::file_size(log(), none_yet);
  const std::uintmax_t seen = none_yet ? 0 : log_size;
  const auto deadline = Clock::now() + patience;
  for (;;) {
    release_lock_file(data_ / "postmaster.pid");
    release_lock_file(socket_ / ".s.PGSQL.5432.lock");
    const pid_t daemon = start_daemon({.argv = {binaries.program("postgres"), "-D", data_}, .as = as}, log());
    // Just after its exec a process has no arguments to be known by yet.
    for (const auto begun = Clock::now() + 1s; !is_server(daemon) && ::kill(daemon, 0) == 0 && Clock::now() < begun;) {
      std::this_thread::sleep_for(1ms);
    }
    while (is_server(daemon) && Clock::now() < deadline) {
      if (is_ready()) return;
      std::this_thread::sleep_for(look_interval);
    }
    if (is_server(daemon)) throw Error(fmt::format("the server is not ready yet; its log ends with:\n{}", tail(log(), seen)));
    // Backends of a postmaster that was killed hold its shared memory until they notice; nothing else passes by itself.
    const std::string said = tail(log(), seen);
    if (said.find("shared memory") == std::string::npos || Clock::now() > deadline) {
      throw Error(fmt::format("the server did not start; its log ends with:\n{}", said));
    }
    std::this_thread::sleep_for(20 * look_interval);
  }
}

bool ServerProcess::stop(Stop how, std::chrono::seconds patience) {
  const auto running = pid();
  if (!running) return false;
  const int signal = how == Stop::fast ? SIGINT : how == Stop::immediate ? SIGQUIT : SIGKILL;
  if (::kill(*running, signal) != 0 && errno != ESRCH) throw Error(fmt::format("may not stop the server, process {}", *running));
  const auto deadline = Clock::now() + patience;
  while (is_server(*running)) {
    if (Clock::now() > deadline) throw Error(fmt::format("the server, process {}, did not stop within {} s", *running, patience.count()));
    std::this_thread::sleep_for(look_interval);
  }
  return true;
}

}  // namespace millrace::dev
