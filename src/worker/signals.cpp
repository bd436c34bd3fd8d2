#include "worker/signals.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace millrace::worker {
namespace {

// A handler can reach nothing but globals.
int write_end = -1;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
int read_end = -1;   // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

void on_signal(int) {
  const int saved = errno;
  const char byte = 1;
  // A full pipe already says enough.
  [[maybe_unused]] const auto written = ::write(write_end, &byte, 1);
  errno = saved;
}

}  // namespace

Signals::Signals() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
  read_end = ends[0];
  write_end = ends[1];
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGTERM, &action, &term_);
  ::sigaction(SIGINT, &action, &int_);
}

Signals::~Signals() {
  ::sigaction(SIGTERM, &term_, nullptr);
  ::sigaction(SIGINT, &int_, nullptr);
  ::close(read_end);
  ::close(write_end);
  read_end = write_end = -1;
}

int Signals::fd() const noexcept { return read_end; }

}  // namespace millrace::worker
