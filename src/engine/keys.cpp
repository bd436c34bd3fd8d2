#include "engine/keys.hpp"

#include "base/json_text.hpp"
#include "base/text.hpp"
#include "base/time_text.hpp"

#include <millrace/limits.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace millrace::engine {
namespace {

std::optional<std::string> interval(const std::optional<Milliseconds>& duration) {
  if (!duration) return {};
  return fmt::format("{} milliseconds", duration->count());
}

std::string array_of(const std::vector<std::string>& texts) {
  postgres::ArrayText array;
  for (const std::string& one : texts) array.text(one);
  return std::move(array).take();
}

std::string metadata_json(const std::map<std::string, std::string>& metadata) {
  try {
    return nlohmann::json(metadata).dump();
  } catch (const nlohmann::json::exception&) {
    throw InvalidArgument("metadata", "is not UTF-8");
  }
}

void check_time(const char* field, const std::optional<Milliseconds>& time, std::chrono::days most) {
  if (time && (time->count() < 1 || *time > most)) {
    throw InvalidArgument(field, fmt::format("is {} ms; allowed is 1 ms to {} days", time->count(), most.count()));
  }
}

// The name of the first option of keys that is given.
const char* first_key(const EnqueueOptions& options) {
  if (options.key) return "key";
  if (options.key_for) return "key_for";
  if (options.unique_key) return "unique_key";
  if (options.unique_by) return "unique_by";
  if (options.unique_for) return "unique_for";
  if (options.debounce) return "debounce";
  if (options.debounce_max) return "debounce_max";
  if (options.throttle) return "throttle";
  return options.replace ? "replace" : nullptr;
}

const char* first_about(const EnqueueOptions& options) {
  if (options.expires_at) return "expires_at";
  if (options.expires_in) return "expires_in";
  if (options.correlation) return "correlation";
  if (options.tenant) return "tenant";
  if (!options.tags.empty()) return "tags";
  if (!options.metadata.empty()) return "metadata";
  return options.traceparent ? "traceparent" : nullptr;
}

}  // namespace

bool says_about(const EnqueueOptions& options) { return first_about(options) != nullptr; }
bool has_keys(const EnqueueOptions& options) { return first_key(options) != nullptr; }

void refuse_keys(const EnqueueOptions& options, const char* what) {
  if (const char* field = first_key(options)) throw InvalidArgument(field, fmt::format("cannot be given for {}", what));
}
void refuse_about(const EnqueueOptions& options, const char* what) {
  if (const char* field = first_about(options)) throw InvalidArgument(field, fmt::format("cannot be given for {}", what));
}

void check_about(const EnqueueOptions& options) {
  using namespace std::chrono;
  if (options.expires_in && options.expires_at) throw InvalidArgument("expires_in", "cannot be given together with expires_at");
  if (options.expires_in && (options.expires_in->count() < 1 || *options.expires_in > limits::delay_max)) {
    throw InvalidArgument("expires_in", fmt::format("is {} ms; allowed is 1 ms to 100 years", options.expires_in->count()));
  }
  if (options.expires_at && (*options.expires_at < Time{} || *options.expires_at >= Time{sys_days{year{10000} / 1 / 1}})) {
    throw InvalidArgument("expires_at", "is outside the years 1970 to 9999");
  }
  if (options.correlation) base::check_name("correlation", *options.correlation, limits::correlation_bytes_max);
  if (options.tenant) base::check_name("tenant", *options.tenant, limits::tenant_bytes_max);
  if (options.tags.size() > limits::tags_max) {
    throw InvalidArgument("tags", fmt::format("has {} elements; allowed are at most {}", options.tags.size(), limits::tags_max));
  }
  for (const std::string& tag : options.tags) base::check_name("tags", tag, limits::tag_bytes_max);
  if (!options.metadata.empty()) {
    for (const auto& one : options.metadata) base::check_name("metadata", one.first, limits::metadata_name_bytes_max);
    const std::string text = metadata_json(options.metadata);
    if (text.size() > limits::metadata_bytes_max) {
      throw InvalidArgument("metadata", fmt::format("has {} bytes; allowed are {}", text.size(), limits::metadata_bytes_max));
    }
    base::check_json("metadata", text, true);
  }
  if (options.traceparent && !base::is_traceparent(*options.traceparent)) throw InvalidArgument("traceparent", "is no W3C trace context");
}

void check_keys(const EnqueueOptions& options) {
  const bool identified = options.unique_key || options.unique_by;
  if (options.key) base::check_name("key", *options.key, limits::key_bytes_max);
  if (options.key_for && !options.key) throw InvalidArgument("key_for", "needs a key");
  if (options.unique_key) base::check_name("unique_key", *options.unique_key, limits::key_bytes_max);
  if (options.unique_by) {
    if (options.unique_key) throw InvalidArgument("unique_by", "cannot be given together with unique_key");
    if (options.unique_by->size() > limits::unique_fields_max) {
      throw InvalidArgument("unique_by",
                            fmt::format("has {} elements; allowed are at most {}", options.unique_by->size(), limits::unique_fields_max));
    }
    for (const std::string& field : *options.unique_by) base::check_name("unique_by", field, limits::unique_field_bytes_max);
  }
  check_time("key_for", options.key_for, limits::key_time_max);
  check_time("unique_for", options.unique_for, limits::key_time_max);
  check_time("debounce", options.debounce, limits::debounce_max);
  check_time("debounce_max", options.debounce_max, limits::debounce_total_max);
  check_time("throttle", options.throttle, limits::key_time_max);
  if (int{options.unique_for.has_value()} + int{options.debounce.has_value()} + int{options.throttle.has_value()} > 1) {
    throw InvalidArgument(options.throttle ? "throttle" : "debounce",
                          "cannot be given together with another of unique_for, debounce and throttle");
  }
  if (options.unique_for && !identified) throw InvalidArgument("unique_for", "needs unique_key or unique_by");
  if (options.debounce_max && (!options.debounce || *options.debounce_max < *options.debounce)) {
    throw InvalidArgument("debounce_max", "needs debounce, and cannot be shorter than it");
  }
  if (options.debounce && (options.run_at || options.delay)) {
    throw InvalidArgument("debounce", "cannot be given together with run_at or delay: it says when the task runs");
  }
  if (options.replace && (!identified || options.debounce || options.throttle)) {
    throw InvalidArgument("replace", "needs unique_key or unique_by, and neither debounce nor throttle");
  }
}

std::optional<std::string> tags_text(const EnqueueOptions& options) {
  return options.tags.empty() ? std::nullopt : std::optional(array_of(options.tags));
}

void bind_about(postgres::Params& params, const EnqueueOptions& options) {
  params.maybe(options.expires_at ? std::optional(base::format_time(*options.expires_at)) : std::nullopt)
      .maybe(interval(options.expires_in))
      .maybe(options.correlation)
      .maybe(options.tenant)
      .maybe(tags_text(options))
      .maybe(options.metadata.empty() ? std::nullopt : std::optional(metadata_json(options.metadata)))
      .maybe(options.traceparent);
}

void bind_keys(postgres::Params& params, const EnqueueOptions& options) {
  params.maybe(options.key)
      .maybe(interval(options.key_for))
      .maybe(options.unique_key)
      .maybe(options.unique_by ? std::optional(array_of(*options.unique_by)) : std::nullopt)
      .maybe(interval(options.unique_for))
      .maybe(interval(options.debounce))
      .maybe(interval(options.debounce_max))
      .maybe(interval(options.throttle))
      .boolean(options.replace);
}

}  // namespace millrace::engine
