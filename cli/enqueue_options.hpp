// What `millrace enqueue` can say about a task, as it was typed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <millrace/enqueue.hpp>

namespace CLI {
class App;
}

namespace millrace::cli {

struct EnqueueWords {
  // What was given, if only an empty text, is never taken for what was not.
  std::optional<std::string> queue{}, priority{}, delay{}, at{}, max_attempts{}, timeout{}, retry{};
  std::optional<std::string> expires_in{}, expires_at{}, correlation{}, tenant{}, traceparent{};
  std::vector<std::string> tags{}, metadata{};
  std::optional<std::string> key{}, key_for{}, unique_key{}, unique_for{}, debounce{}, debounce_max{}, throttle{};
  std::vector<std::string> unique{};
  bool replace = false;
};

/// Adds the options to the command.
void add_enqueue_options(CLI::App& command, EnqueueWords& words);
/// What they mean. The correlation id and the trace context are those of the task that this command runs in, if it runs in a
/// handler (MILLRACE_CORRELATION_ID, TRACEPARENT) and says nothing else. Throws InvalidArgument with the option's name.
[[nodiscard]] EnqueueOptions options_of(const CLI::App& command, const EnqueueWords& words);

}  // namespace millrace::cli
