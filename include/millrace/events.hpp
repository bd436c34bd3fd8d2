// What happens to tasks in a worker, told to the program that the worker is part of.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/types.hpp>

namespace millrace {

/// What can happen to a task in a worker. A failed attempt is told twice: as `failed`, then as what became of the task.
enum class Event : std::uint8_t {
  started,    ///< The handler is about to begin.
  completed,  ///< The completion is committed.
  failed,     ///< An attempt failed, and that is committed. `retrying`, `dead` or `cancelled` of the same task follows at once.
  retrying,   ///< It will run again, at `next_run`.
  cancelled,  ///< Somebody cancelled it while it was in this worker's hands, or its handler did.
  dead        ///< Out of attempts, or failed for good: it is a dead letter.
};

/// The name of an event, as the enumerator is spelt.
[[nodiscard]] std::string_view to_string(Event event) noexcept;

/// One thing that happened to one task: what the worker knows of it without asking the database again.
struct TaskEvent {
  Event event = Event::started;
  Time at{};  ///< By this machine's clock.
  TaskId id{};
  std::string kind{};
  std::string queue{};
  int attempt = 0;
  int max_attempts = 0;
  std::optional<Milliseconds> duration{};  ///< How long the run took; none for `started`, and for a run that never began or was given up.
  std::string error{};  ///< failed, retrying, dead, and cancelled after a run: what the attempt said; cancelled by its handler: the reason.
  std::optional<Time> next_run{};  ///< retrying: not before this time, by the database's clock.
  std::optional<std::string> correlation{};
  std::optional<std::string> tenant{};
  std::optional<std::string> traceparent{};
  std::map<std::string, std::string> metadata{};
};

/// Called with each event that it was registered for.
using Listener = std::function<void(const TaskEvent&)>;

}  // namespace millrace
