// Preloaded into a process, it makes its wall clock wrong by MILLRACE_TEST_SKEW seconds. Durations stay right.
#include <dlfcn.h>
#include <sys/time.h>

#include <cstdlib>
#include <ctime>

namespace {

long skew() {
  static const long seconds = [] {
    const char* text = std::getenv("MILLRACE_TEST_SKEW");
    return text == nullptr ? 0L : std::strtol(text, nullptr, 10);
  }();
  return seconds;
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const auto real = next<int (*)(clockid_t, timespec*)>("clock_gettime");
  const int status = real(clock, time);
  if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += skew();
  return status;
}

int gettimeofday(timeval* __restrict time, void* __restrict zone) noexcept {
  static const auto real = next<int (*)(timeval*, void*)>("gettimeofday");
  const int status = real(time, zone);
  if (status == 0) time->tv_sec += skew();
  return status;
}

std::time_t time(std::time_t* result) noexcept {
  static const auto real = next<std::time_t (*)(std::time_t*)>("time");
  const std::time_t now = real(nullptr) + skew();
  if (result != nullptr) *result = now;
  return now;
}
}
