// SIGTERM and SIGINT, as something a thread can wait for.
#pragma once

#include <csignal>

namespace millrace::worker {

/// While it lives, SIGTERM and SIGINT make fd() readable instead of ending the process. One at a time per process.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  Signals(Signals&&) = delete;
  Signals& operator=(Signals&&) = delete;

  /// The end of a pipe: one byte per signal that came.
  [[nodiscard]] int fd() const noexcept;

 private:
  struct sigaction term_ {};
  struct sigaction int_ {};
};

}  // namespace millrace::worker
