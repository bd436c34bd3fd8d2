#include "testing/guard.hpp"

#include "dev/run_program.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace millrace::testing {

int guard(const dev::Cluster& cluster) {
  const auto& paths = cluster.paths();
  const std::string flock = "/usr/bin/flock";
  if (!std::filesystem::exists(flock)) return -1;
  // The kernel lets go of the lock when the last descriptor is closed, which not even SIGKILL prevents.
  const std::string file = paths.folder / "process.lock";
  const int lock = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return -1;
  if (::flock(lock, LOCK_EX) != 0) {
    ::close(lock);
    return -1;
  }
  const std::string script =
      "[ -d \"$1\" ] || exit 0; pid=$(head -n 1 \"$2/postmaster.pid\" 2>/dev/null);"
      "[ -z \"$pid\" ] || kill -QUIT \"$pid\"; for i in 1 2 3 4 5 6 7 8 9 10; do"
      " [ -n \"$pid\" ] && kill -0 \"$pid\" 2>/dev/null && sleep 0.5 || break; done; rm -rf \"$1\" \"$2\" \"$3\"";
  static_cast<void>(dev::start_daemon({.argv = {flock, file, "/bin/sh", "-c", script, "guard", paths.folder, paths.data, paths.socket}},
                                      paths.folder / "guard.log"));
  return lock;
}

}  // namespace millrace::testing
