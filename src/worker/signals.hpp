// SIGTERM and SIGINT, as something a thread can wait for.
#pragma once

#include <atomic>

namespace millrace::worker {

/// While any lives, SIGTERM and SIGINT do not end the process, but make fd() readable: of each that lives. The first one sees to
/// that, the last one restores what was there before. May be made and destroyed on any thread.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  Signals(Signals&&) = delete;
  Signals& operator=(Signals&&) = delete;

  /// The end of a pipe: one byte per signal that came.
  [[nodiscard]] int fd() const noexcept { return read_end_; }

 private:
  static void on_signal(int);

  int read_end_ = -1;
  int write_end_ = -1;
  std::atomic<Signals*> next_{nullptr};
};

}  // namespace millrace::worker
