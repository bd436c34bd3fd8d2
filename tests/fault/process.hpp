// A child process that a test owns: it is killed when the test lets go of it.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace millrace::test {

class Process {
 public:
  /// Starts a program; its standard output goes to `output` (a file) if one is named.
  explicit Process(const std::vector<std::string>& command, const std::string& output = {});
  ~Process();
  Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Process& operator=(Process&& other) noexcept;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number) const;
  /// Waits for its end and returns the wait status.
  int wait();
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = -1;
};

}  // namespace millrace::test
