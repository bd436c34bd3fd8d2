// What was said about a task when it was enqueued, as a claim brings it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::worker {

struct About {
  std::optional<std::string> correlation{};
  std::optional<std::string> tenant{};
  std::optional<std::string> traceparent{};
  std::map<std::string, std::string> metadata{};
};

/// Reads the JSON text of claim()'s column about; an empty one says nothing. Throws nlohmann::json::exception.
[[nodiscard]] About read_about(std::string_view text);

}  // namespace millrace::worker
