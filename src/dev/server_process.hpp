// The server of one data folder: is it there, start it, stop it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "dev/run_program.hpp"
#include "dev/server_binaries.hpp"

namespace millrace::dev {

/// How a server ends. fast: breaks its connections off and shuts down cleanly; immediate: without a shutdown, as a
/// crash, to be recovered at the next start; kill: SIGKILL to the postmaster alone.
enum class Stop : std::uint8_t { fast, immediate, kill };

class ServerProcess {
 public:
  /// `data` as the server will be given it, and the folder of its socket.
  ServerProcess(std::filesystem::path data, std::filesystem::path socket) : data_(std::move(data)), socket_(std::move(socket)) {}

  /// The postmaster's process id, if it runs. A pid file left by a dead server, also one whose number some other
  /// process has now, is no server.
  [[nodiscard]] std::optional<pid_t> pid() const;
  /// Whether it runs and accepts connections.
  [[nodiscard]] bool is_ready() const;

  /// If it runs, waits until it accepts connections. Returns whether it does.
  [[nodiscard]] bool wait_until_ready(std::chrono::seconds patience) const;

  /// Starts the server, which must not run, and waits until it is ready. Throws Error with the last lines of its log.
  void start(const ServerBinaries& binaries, const std::optional<SystemUser>& as, std::chrono::seconds patience);
  /// Stops the server, if it runs, and waits until it is gone. Returns whether it ran.
  bool stop(Stop how, std::chrono::seconds patience);

  [[nodiscard]] std::filesystem::path log() const { return data_ / "server.log"; }

 private:
  [[nodiscard]] bool is_server(pid_t pid) const;
  void release_lock_file(const std::filesystem::path& file) const;

  std::filesystem::path data_;
  std::filesystem::path socket_;
};

}  // namespace millrace::dev
