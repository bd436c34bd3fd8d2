// Schedules: SQL's functions, typed.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/schedule.hpp>

#include "engine/enqueue.hpp"
#include "postgres/connection.hpp"

namespace millrace::engine {

inline constexpr std::array<std::string_view, 2> gaps{"skip", "shift"};
inline constexpr std::array<std::string_view, 3> folds{"first", "last", "both"};
inline constexpr std::array<std::string_view, 3> misfires{"skip", "one", "all"};
inline constexpr std::array<std::string_view, 3> exclusives{"no", "skip", "queue"};
inline constexpr std::array<std::string_view, 4> tick_outcomes{"enqueued", "missed", "held", "replaced"};

/// The value of that name. Throws InvalidArgument(field) for any other text.
template <class Enum, std::size_t N>
[[nodiscard]] Enum named(const char* field, const std::array<std::string_view, N>& names, std::string_view text) {
  std::string allowed;
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
    allowed += (i == 0 ? "" : i + 1 == N ? " and " : ", ") + std::string(names[i]);
  }
  throw InvalidArgument(field, "is \"" + std::string(text.substr(0, 64)) + "\"; allowed are " + allowed);
}

Put put_schedule(const Run& run, std::string_view name, std::string_view rule, std::string_view kind, std::string_view args,
                 const ScheduleOptions& options);
std::vector<ScheduleRecord> list_schedules(postgres::Connection& connection, const std::string& schema,
                                           const std::optional<std::string>& name);
void pause_schedule(postgres::Connection& connection, const std::string& schema, const std::string& name);
std::optional<Time> resume_schedule(postgres::Connection& connection, const std::string& schema, const std::string& name);
void delete_schedule(postgres::Connection& connection, const std::string& schema, const std::string& name);
TaskId run_schedule(postgres::Connection& connection, const std::string& schema, const std::string& name);
/// The latest ticks of a schedule, newest first.
std::vector<PastTick> past_ticks(postgres::Connection& connection, const std::string& schema, const std::string& name, int count);
/// The ticks of a rule that need not be anybody's schedule, from `from` on.
std::vector<TickRecord> preview_rule(postgres::Connection& connection, const std::string& rule, const ScheduleOptions& options,
                                     std::optional<Time> from, int count);
/// The same of a schedule that there is.
std::vector<TickRecord> preview_schedule(postgres::Connection& connection, const std::string& schema, const std::string& name,
                                         std::optional<Time> from, int count);

}  // namespace millrace::engine
