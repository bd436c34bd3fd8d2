// Every limit of the queue, in one place. The SQL functions enforce the same ones.
#pragma once

#include <chrono>
#include <cstddef>

namespace millrace::limits {

/// Longest kind and longest queue name, in bytes.
inline constexpr std::size_t kind_bytes_max = 128;
inline constexpr std::size_t queue_bytes_max = 128;
/// Longest schema name, in bytes: what PostgreSQL keeps of an identifier.
inline constexpr std::size_t schema_bytes_max = 63;
/// Longest name of a schedule, and longest rule and time zone, in bytes.
inline constexpr std::size_t schedule_bytes_max = 128;
inline constexpr std::size_t rule_bytes_max = 256;
/// Longest correlation id and tenant; most tags of a task, and the longest; longest name and most bytes of metadata.
inline constexpr std::size_t correlation_bytes_max = 128;
inline constexpr std::size_t tenant_bytes_max = 128;
inline constexpr std::size_t tags_max = 16;
inline constexpr std::size_t tag_bytes_max = 64;
inline constexpr std::size_t metadata_name_bytes_max = 64;
inline constexpr std::size_t metadata_bytes_max = 8192;
/// Longest idempotency key and unique key; most fields of args that make a task unique, and the longest name of one.
inline constexpr std::size_t key_bytes_max = 256;
inline constexpr std::size_t unique_fields_max = 16;
inline constexpr std::size_t unique_field_bytes_max = 128;
/// Longest times of keys.
inline constexpr std::chrono::days key_time_max{3650};
inline constexpr std::chrono::days debounce_max{30};
inline constexpr std::chrono::days debounce_total_max{365};
/// Deepest nesting of args and results, in levels; `{}` has one.
inline constexpr int nesting_max = 128;
/// Largest args by default, in bytes of JSON text; an operator may change `settings.args_bytes_max`.
inline constexpr std::size_t args_bytes_default_max = 1'048'576;
/// Largest args or result that the client sends at all, in bytes.
inline constexpr std::size_t json_bytes_max = 268'435'456;
/// Most attempts a task may have.
inline constexpr int attempts_max = 1000;
/// Longest delay and longest timeout.
inline constexpr std::chrono::years delay_max{100};
inline constexpr std::chrono::days timeout_max{365};
/// Error messages are cut to this many characters; the latest `errors_kept` are kept per task.
inline constexpr std::size_t error_characters_max = 4096;
inline constexpr int errors_kept = 10;

/// Longest name of a lock and of its owner, in bytes; shortest and longest ttl; longest wait for one.
inline constexpr std::size_t lock_bytes_max = 128;
inline constexpr std::chrono::seconds lock_ttl_min{1};
inline constexpr std::chrono::days lock_ttl_max{1};
inline constexpr std::chrono::days lock_wait_max{365};

/// What a handler logs: lines are cut to so many characters, and the latest so many lines are kept per task.
inline constexpr std::size_t log_line_characters_max = 2000;
inline constexpr int log_lines_kept = 1000;
/// Notes of a handler's progress are cut to this many characters.
inline constexpr std::size_t progress_note_characters_max = 200;

}  // namespace millrace::limits
