#include "worker/signals.hpp"

#include <millrace/error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>

namespace millrace::worker {
namespace {

// A handler can reach nothing but globals, and may wait for nothing: it goes along the list while others change it.
std::atomic<Signals*> first{nullptr};
std::atomic<int> handlers{0};  // that run now
static_assert(std::atomic<Signals*>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

std::mutex mutex;  // of those who change the list, and of these two
struct sigaction term_before {};
struct sigaction int_before {};

}  // namespace

void Signals::on_signal(int) {
  const int saved = errno;
  ++handlers;
  const char byte = 1;
  for (const Signals* one = first; one != nullptr; one = one->next_) {
    // A full pipe already says enough.
    [[maybe_unused]] const auto written = ::write(one->write_end_, &byte, 1);
  }
  --handlers;
  errno = saved;
}

Signals::Signals() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
    throw Error(std::string("no file descriptor is left to hear of signals: ") + std::strerror(errno));
  read_end_ = ends[0];
  write_end_ = ends[1];
  const std::lock_guard lock(mutex);
  Signals* const others = first;
  next_ = others;
  first = this;
  if (others != nullptr) return;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGTERM, &action, &term_before);
  ::sigaction(SIGINT, &action, &int_before);
}

Signals::~Signals() {
  {
    const std::lock_guard lock(mutex);
    std::atomic<Signals*>* link = &first;
    while (*link != this) link = &link->load()->next_;
    *link = next_.load();
    if (first == nullptr) {
      ::sigaction(SIGTERM, &term_before, nullptr);
      ::sigaction(SIGINT, &int_before, nullptr);
    }
  }
  // A handler on another thread may have come to this one before it left the list.
  while (handlers != 0) std::this_thread::yield();
  ::close(read_end_);
  ::close(write_end_);
}

}  // namespace millrace::worker
