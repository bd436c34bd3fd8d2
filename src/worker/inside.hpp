// Whether a thread is one of a worker's own: what waits for all of them must not be called there.
#pragma once

namespace millrace::worker {

/// Marks the thread that makes it as one of this worker's, for as long as it lives. They may be nested: a handler may run
/// another worker.
class Inside {
 public:
  explicit Inside(const void* worker) noexcept : before_(current()) { current() = worker; }
  ~Inside() { current() = before_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  Inside(Inside&&) = delete;
  Inside& operator=(Inside&&) = delete;

  [[nodiscard]] static bool of(const void* worker) noexcept { return current() == worker; }

 private:
  static const void*& current() noexcept {
    thread_local const void* worker = nullptr;
    return worker;
  }
  const void* before_;
};

}  // namespace millrace::worker
