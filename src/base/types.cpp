#include <millrace/types.hpp>

#include <array>

namespace millrace {
namespace {
constexpr std::array<std::string_view, 8> names = {"waiting", "pending",   "scheduled", "retrying",
                                                   "running", "completed", "failed",    "cancelled"};
}

std::string_view to_string(Status status) noexcept { return names[static_cast<std::size_t>(status)]; }

Status status_from(std::string_view name) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Status>(i);
  }
  std::string known;
  for (const std::string_view one : names) {
    // No task is ever listed or changed in it, so nobody who mistyped can have meant it.
    if (one != names[static_cast<std::size_t>(Status::waiting)]) known += (known.empty() ? "" : ", ") + std::string(one);
  }
  throw InvalidArgument("status", "is \"" + std::string(name) + "\"; known are " + known);
}

}  // namespace millrace
