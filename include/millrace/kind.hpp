// What the handlers of a kind declare of its tasks, as workers registered it.
#pragma once

#include <optional>
#include <string>

#include <millrace/types.hpp>

namespace millrace {

/// A row of the table kinds. What is none is as the general defaults are (EnqueueOptions).
struct KindRecord {
  std::string kind{};
  std::optional<std::string> alias_of{};  ///< The present name of a kind that was renamed.
  std::optional<std::string> queue{};
  std::optional<Priority> priority{};
  std::optional<int> max_attempts{};
  std::optional<std::string> backoff{};  ///< JSON text.
  std::optional<Milliseconds> timeout{};
  std::optional<std::string> schema{};  ///< The JSON Schema of the args, JSON text.
  Time registered_at{};                 ///< When a worker last declared something else than before.
};

}  // namespace millrace
