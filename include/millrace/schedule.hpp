// Recurring schedules: a rule that enqueues a task at each of its ticks, exactly once, whichever workers run.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/enqueue.hpp>
#include <millrace/types.hpp>

namespace millrace {

/// What becomes of a local time that a change of clocks leaves out: not fired, or moved by the length of the gap.
enum class Gap : std::uint8_t { skip, shift };
/// Which of two equal local times is meant when clocks are set back.
enum class Fold : std::uint8_t { first, last, both };
/// Which of the ticks that came to nothing because no worker ran are made up for: none, the latest one, or all of them
/// (the latest `misfire_max`).
enum class Misfire : std::uint8_t { skip, one, all };
/// What becomes of a tick while the task of the one before is live: a task all the same, nothing, or a task once that one
/// has ended (at most one waits, the latest).
enum class Exclusive : std::uint8_t { no, skip, queue };

/// The names of these as SQL spells them.
[[nodiscard]] std::string_view to_string(Gap gap) noexcept;
[[nodiscard]] std::string_view to_string(Fold fold) noexcept;
[[nodiscard]] std::string_view to_string(Misfire misfire) noexcept;
[[nodiscard]] std::string_view to_string(Exclusive exclusive) noexcept;

/// How a schedule behaves. The rule of each default: docs/schedules.md.
struct ScheduleOptions {
  std::string zone = "UTC";  ///< An IANA time zone that PostgreSQL knows, such as Europe/Berlin.
  Gap gap = Gap::shift;
  Fold fold = Fold::first;
  Misfire misfire = Misfire::one;
  int misfire_max = 100;       ///< 1 to 100.
  Milliseconds grace{60'000};  ///< A tick that could not be fired within this, beyond its jitter, was missed; 1 s to 365 days.
  Milliseconds jitter{0};      ///< Each tick is fired up to so much later, spread evenly; 0 to 1 day.
  Exclusive exclusive = Exclusive::no;
  std::optional<Time> anchor{};  ///< Where intervals count from. Default: when the schedule was made.
  /// Of its tasks: queue, priority, max_attempts, backoff, timeout and tags. delay, run_at and wake mean nothing here, the
  /// others are refused; schema is that of the schedule.
  EnqueueOptions task{};
};

/// A schedule as it stands.
struct ScheduleRecord {
  std::string name{};
  std::string rule{};
  std::string kind{};
  std::string args{};  ///< JSON text of an object; `{{tick}}` in it becomes each tick's time.
  std::string zone{};
  Gap gap = Gap::shift;
  Fold fold = Fold::first;
  Misfire misfire = Misfire::one;
  int misfire_max = 0;
  Milliseconds grace{};
  Milliseconds jitter{};
  Exclusive exclusive = Exclusive::no;
  Time anchor{};
  std::string queue{};  ///< This and the next four: as a tick would take them now, from the schedule, its kind, or the defaults.
  Priority priority{};
  int max_attempts = 0;
  std::optional<Milliseconds> timeout{};
  std::optional<std::string> backoff{};  ///< The retry policy, JSON text; none if it is the default.
  std::vector<std::string> tags{};       ///< Of its tasks.
  bool paused = false;
  std::optional<Time> next_tick{};  ///< The next tick; none if its rule has no more.
  std::optional<Time> next_at{};  ///< When a worker fires next: that tick and its jitter, or sooner while a tick waits; none while paused.
  std::optional<Time> owed_tick{};  ///< Exclusive::queue: the tick that waits for the end of the task before.
  std::optional<Time> last_tick{};  ///< The latest tick that made a task.
  std::optional<TaskId> last_task{};
  std::optional<std::string> problem{};  ///< Why it could not be fired at its last try.
};

/// What became of a tick: it made a task; it was missed, with all before it that are not named; it was dropped because the
/// task before was live; or it waited for that one's end until a later tick took its place.
enum class TickOutcome : std::uint8_t { enqueued, missed, held, replaced };

[[nodiscard]] std::string_view to_string(TickOutcome outcome) noexcept;

/// A tick that is past.
struct PastTick {
  Time tick{};
  TickOutcome outcome = TickOutcome::enqueued;
  std::optional<TaskId> task{};
  Time fired_at{};
};

/// One tick of a preview.
struct TickRecord {
  std::optional<Time> at{};  ///< None if the tick is dropped.
  std::string local{};       ///< The wall clock in the schedule's zone, as the rule names it.
  std::string note{};        ///< Empty, or what a change of clocks did to it.
};

/// Whether put_schedule changed anything.
enum class Put : std::uint8_t { created, changed, unchanged };

/// Makes the schedule called `name` so, within `tx`: at each tick of `rule` a task of `kind` with `args` is added. `rule` is a cron
/// of five fields, or six with seconds first; @hourly to @yearly; or an interval such as `every 90s`. `args` is the text of
/// a JSON object. Throws InvalidArgument that names the field, StateError if `tx` is over, SchemaError, DatabaseError.
Put put_schedule(pqxx::transaction_base& tx, std::string_view name, std::string_view rule, std::string_view kind,
                 std::string_view args = "{}", const ScheduleOptions& options = {});

}  // namespace millrace
