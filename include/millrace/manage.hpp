// Which tasks are meant, and what a change of many of them would do and did. The calls are Client's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <millrace/types.hpp>

namespace millrace {

/// Which tasks: those that fit every field that is set. Times are from (inclusive) to until (not). Texts have the limits that
/// an enqueue sets them, times are in the years 1970 to 9999; what takes a filter throws InvalidArgument otherwise.
struct TaskFilter {
  std::optional<std::vector<TaskId>> ids{};  ///< One of these: 1 to 10,000. Set and empty is refused: it never means all tasks.
  std::vector<Status> status{};              ///< One of these; empty: any.
  std::optional<std::string> queue{};
  std::optional<std::string> kind{};
  std::optional<std::string> correlation{};
  std::optional<std::string> tenant{};
  std::vector<std::string> tags{};  ///< All of them.
  std::optional<Time> created_from{};
  std::optional<Time> created_until{};
  std::optional<Time> finished_from{};  ///< Completed, failed or cancelled since then.
  std::optional<Time> finished_until{};
  std::optional<Time> dead_from{};  ///< Became a dead letter since then.
  std::optional<Time> dead_until{};
  std::optional<TaskId> before{};  ///< Client::list only, refused by the others: tasks with a smaller id, the next page.
  std::optional<int> limit{};      ///< Client::list only, refused by the others: 1 to 1000, default 50.
};

/// How many tasks of one queue, kind and status there are.
struct TaskCount {
  std::string queue{};
  std::string kind{};
  Status status{};
  std::int64_t tasks = 0;
};

/// What can be done to many tasks.
enum class Action : std::uint8_t { cancel, retry, reprioritise, reschedule, run_now, remove };

/// What an action would do to the tasks of one status.
struct PlanRow {
  Status status{};
  std::int64_t tasks = 0;
  std::string effect{};            ///< "cancelled", "asked to stop", "retried", "left alone" and the like.
  std::vector<TaskId> examples{};  ///< The oldest few.
};

/// What a change of many tasks did.
struct Changes {
  std::int64_t done = 0;     ///< Tasks that were changed.
  std::int64_t asked = 0;    ///< Running ones whose workers were asked to stop them (cancel).
  std::int64_t running = 0;  ///< Left alone because they run.
  std::int64_t held = 0;     ///< Left alone because somebody, mostly a claim, had them in hand; they still fit.
  std::int64_t refused = 0;  ///< Not revived, because another live task has their unique key.
};

/// Told after each batch what has been done so far. An exception of it ends the change there and comes out of the call.
using OnChanges = std::function<void(const Changes&)>;

/// Where the dead letters of a queue, or of a kind, are forwarded to.
struct DeadQueue {
  std::optional<std::string> queue{};
  std::optional<std::string> kind{};  ///< One of the two.
  std::string target{};
};

}  // namespace millrace
