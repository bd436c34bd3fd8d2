// Other programs, run without a shell.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace millrace::dev {

/// A user of this machine to run as. Only root can run a program as somebody else.
struct SystemUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name{};
  std::string home{};
};

/// The user of that name, if there is one.
[[nodiscard]] std::optional<SystemUser> find_user(const std::string& name);

struct Program {
  std::vector<std::string> argv{};  ///< argv[0] is the path of the executable.
  std::optional<SystemUser> as{};   ///< Run as this user, in the folder /, with its HOME; none: as we are.
};

struct Finished {
  int status = 0;  ///< The exit status, or 128 + the signal that ended it.
  std::string out{};
  std::string err{};
};

/// Runs the program with an empty stdin and without any PG… environment variable, and waits for its end.
/// Throws Error if it cannot be run.
[[nodiscard]] Finished run_program(const Program& program);

/// Starts the program as a daemon, in a session of its own and as nobody's child, with stdout and stderr appended to
/// `log` (created if need be, for the program's user). Returns its process id. Throws Error if it cannot be run.
pid_t start_daemon(const Program& program, const std::filesystem::path& log);

}  // namespace millrace::dev
