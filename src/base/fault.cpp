#include "base/fault.hpp"

#if defined(MILLRACE_FAULT_POINTS)

#include <millrace/error.hpp>

#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace millrace::base {
namespace {

struct Fault {
  int on_time = 0;  // 0: every time
  std::string action{};
  int seen = 0;
};

std::map<std::string, Fault, std::less<>> read_faults() {
  std::map<std::string, Fault, std::less<>> faults;
  const char* text = std::getenv("MILLRACE_FAULT");
  std::string_view rest = text == nullptr ? "" : text;
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    const std::size_t equals = one.find('=');
    if (equals == std::string_view::npos) continue;
    std::string_view name = one.substr(0, equals);
    Fault fault{.action = std::string(one.substr(equals + 1))};
    if (const std::size_t hash = name.find('#'); hash != std::string_view::npos) {
      fault.on_time = std::atoi(std::string(name.substr(hash + 1)).c_str());
      name = name.substr(0, hash);
    }
    faults.emplace(name, std::move(fault));
  }
  return faults;
}

}  // namespace

void fault_point(const char* name) {
  static std::mutex mutex;
  static auto faults = read_faults();
  std::string action;
  {
    const std::lock_guard lock(mutex);
    const auto found = faults.find(std::string_view(name));
    if (found == faults.end()) return;
    Fault& fault = found->second;
    if (++fault.seen != fault.on_time && fault.on_time != 0) return;
    action = fault.action;
  }
  if (action == "kill") std::raise(SIGKILL);
  if (action == "stop") std::raise(SIGSTOP);
  if (action == "throw") throw ConnectionError(std::string("fault point ") + name);
}

}  // namespace millrace::base

#endif
