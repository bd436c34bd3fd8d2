#include <millrace/testing/enqueued.hpp>

#include "base/json_text.hpp"
#include "base/text.hpp"
#include "base/time_text.hpp"
#include "postgres/transaction.hpp"

#include <millrace/testing/database.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace millrace::testing {
namespace {

using Json = nlohmann::json;

constexpr std::size_t shown_max = 20;

std::string select(const std::string& schema) {
  return fmt::format(
      "SELECT to_jsonb(t) - 'args' - 'result', t.args, t.result, (extract(epoch FROM t.timeout) * 1000)::bigint FROM {}.tasks t ORDER BY "
      "t.id",
      base::quote_identifier(schema));
}

template <class Value>
void take(const Json& row, const char* name, std::optional<Value>& to) {
  if (const auto found = row.find(name); found != row.end() && !found->is_null()) to = found->get<Value>();
}
std::optional<Time> time_of(const Json& row, const char* name) {
  std::optional<std::string> text;
  take(row, name, text);
  return text ? base::parse_time(*text) : std::nullopt;
}

TaskRecord record_of(const std::string& columns, const std::string& args, const std::string& result, const std::string& timeout_ms) {
  const Json row = Json::parse(columns);
  TaskRecord task;
  task.id = {row.at("id").get<std::int64_t>()};
  task.kind = row.at("kind").get<std::string>();
  task.queue = row.at("queue").get<std::string>();
  task.status = status_from(row.at("status").get<std::string>());
  task.priority = Priority(row.at("priority").get<int>());
  task.attempt = row.at("attempt").get<int>();
  task.max_attempts = row.at("max_attempts").get<int>();
  task.run_at = time_of(row, "run_at").value_or(Time{});
  task.created_at = time_of(row, "created_at").value_or(Time{});
  task.started_at = time_of(row, "started_at");
  task.finished_at = time_of(row, "finished_at");
  task.dead_at = time_of(row, "dead_at");
  if (const Json& lease = row.at("lease"); !lease.is_null()) task.lease = LeaseId{lease.get<std::int64_t>()};
  take(row, "worker", task.worker);
  if (!timeout_ms.empty()) task.timeout = Milliseconds(std::stoll(timeout_ms));
  if (const Json& backoff = row.at("backoff"); !backoff.is_null()) task.backoff = backoff.dump();
  task.args = args;
  if (!result.empty()) task.result = result;
  if (const Json& errors = row.at("errors"); errors.is_array()) {
    for (const Json& one : errors) {
      std::optional<std::string> worker;
      take(one, "worker", worker);
      task.errors.push_back({.attempt = one.value("attempt", 0),
                             .at = time_of(one, "at").value_or(Time{}),
                             .worker = worker.value_or(""),
                             .message = one.value("message", "")});
    }
  }
  task.expires_at = time_of(row, "expires_at");
  take(row, "reason", task.reason);
  take(row, "correlation", task.correlation);
  take(row, "tenant", task.tenant);
  if (const Json& tags = row.at("tags"); tags.is_array()) task.tags = tags.get<std::vector<std::string>>();
  if (const Json& metadata = row.at("metadata"); metadata.is_object()) task.metadata = metadata.get<std::map<std::string, std::string>>();
  take(row, "traceparent", task.traceparent);
  return task;
}

std::vector<TaskRecord> read(Database& database) {
  std::vector<TaskRecord> all;
  for (const auto& row : database.rows(select(database.schema()))) all.push_back(record_of(row[0], row[1], row[2], row[3]));
  return all;
}

std::vector<TaskRecord> read(pqxx::transaction_base& tx, const std::string& schema) {
  const auto rows = postgres::run_within(tx, schema, select(schema), {});
  std::vector<TaskRecord> all;
  for (int row = 0; row < rows.size(); ++row) {
    const auto text = [&](int column) { return std::string(rows.text(row, column)); };
    all.push_back(record_of(text(0), text(1), text(2), text(3)));
  }
  return all;
}

std::vector<TaskRecord> read(Client& client) {
  std::vector<TaskRecord> all;
  TaskFilter filter{.limit = 1000};
  for (std::size_t page = 1000; page == 1000;) {
    const auto some = client.list(filter);
    page = some.size();
    all.insert(all.end(), some.begin(), some.end());
    if (!some.empty()) filter.before = some.back().id;
  }
  std::reverse(all.begin(), all.end());
  return all;
}

// As jsonb's @> for objects: what `part` names is in `whole`, with those values.
bool holds(const Json& whole, const Json& part) {
  if (!part.is_object() || !whole.is_object()) return whole == part;
  return std::all_of(part.items().begin(), part.items().end(), [&](const auto& field) {
    const auto found = whole.find(field.key());
    return found != whole.end() && holds(*found, field.value());
  });
}

bool fits(const TaskRecord& task, std::string_view kind, const Wanted& wanted) {
  const auto same = [](const auto& want, const auto& have) { return !want || *want == have; };
  if (task.kind != kind || !same(wanted.queue, task.queue) || !same(wanted.status, task.status) || !same(wanted.priority, task.priority))
    return false;
  if (wanted.tenant && task.tenant != wanted.tenant) return false;
  if (wanted.correlation && task.correlation != wanted.correlation) return false;
  if (wanted.run_from && task.run_at < *wanted.run_from) return false;
  if (wanted.run_until && task.run_at > *wanted.run_until) return false;
  for (const std::string& tag : wanted.tags) {
    if (std::find(task.tags.begin(), task.tags.end(), tag) == task.tags.end()) return false;
  }
  if (wanted.args && !holds(Json::parse(task.args), Json::parse(*wanted.args))) return false;
  return !wanted.where || wanted.where(task);
}

std::string said(std::string_view kind, const Wanted& wanted) {
  std::string text = fmt::format("kind {}", kind);
  const auto add = [&](const char* what, const std::string& value) { text += fmt::format(", {} {}", what, value); };
  if (!wanted.about.empty()) text += ", " + wanted.about;
  if (wanted.args) add("args with", *wanted.args);
  if (wanted.queue) add("queue", *wanted.queue);
  if (wanted.status) add("status", std::string(to_string(*wanted.status)));
  if (wanted.priority) add("priority", std::to_string(wanted.priority->value()));
  for (const std::string& tag : wanted.tags) add("tag", tag);
  if (wanted.tenant) add("tenant", *wanted.tenant);
  if (wanted.correlation) add("correlation", *wanted.correlation);
  if (wanted.run_from) add("due from", base::format_time(*wanted.run_from));
  if (wanted.run_until) add("due until", base::format_time(*wanted.run_until));
  if (wanted.where && wanted.about.empty()) text += ", for which `where` is true";
  return text;
}

// What is there: those of the kind that was asked for first, as they are the likely mistakes.
std::string listed(std::vector<TaskRecord> tasks, std::string_view kind) {
  if (tasks.empty()) return "there are no tasks at all";
  std::stable_partition(tasks.begin(), tasks.end(), [&](const TaskRecord& task) { return task.kind == kind; });
  std::string text = tasks.size() == 1 ? "there is 1 task:" : fmt::format("there are {} tasks:", tasks.size());
  for (std::size_t i = 0; i < std::min(tasks.size(), shown_max); ++i) {
    const TaskRecord& task = tasks[i];
    text += fmt::format("\n  {} {} {} in {}, due {}", task.id.value, task.kind, to_string(task.status), task.queue,
                        base::format_time(task.run_at));
    if (task.priority != Priority()) text += fmt::format(", priority {}", task.priority.value());
    for (const std::string& tag : task.tags) text += ", tag " + tag;
    if (task.tenant) text += ", tenant " + *task.tenant;
    if (task.correlation) text += ", correlation " + *task.correlation;
    text += ": " + base::storable(task.args, 200);
  }
  if (tasks.size() > shown_max) text += fmt::format("\n  … and {} more", tasks.size() - shown_max);
  return text;
}

std::vector<TaskRecord> chosen(const std::vector<TaskRecord>& all, std::string_view kind, const Wanted& wanted) {
  if (wanted.args) base::check_json("args", *wanted.args, true);
  std::vector<TaskRecord> some;
  std::copy_if(all.begin(), all.end(), std::back_inserter(some), [&](const TaskRecord& task) { return fits(task, kind, wanted); });
  return some;
}

const char* tasks(std::size_t count) { return count == 1 ? "task" : "tasks"; }

}  // namespace

std::vector<TaskRecord> From::tasks() const {
  if (const auto* database = std::get_if<Database*>(&from_)) return read(**database);
  if (const auto* client = std::get_if<Client*>(&from_)) return read(**client);
  return read(*std::get<pqxx::transaction_base*>(from_), schema_);
}

std::vector<TaskRecord> enqueued(const From& from, std::string_view kind, const Wanted& wanted) {
  return chosen(from.tasks(), kind, wanted);
}

std::vector<TaskRecord> assert_enqueued(const From& from, std::string_view kind, const Wanted& wanted) {
  const auto all = from.tasks();
  auto some = chosen(all, kind, wanted);
  if (wanted.count ? some.size() == static_cast<std::size_t>(std::max(0, *wanted.count)) : !some.empty()) return some;
  const std::string many = wanted.count ? fmt::format("{} {}", *wanted.count, tasks(static_cast<std::size_t>(*wanted.count))) : "a task";
  throw AssertionFailed(fmt::format("wanted {} of {}, but found {}; {}", many, said(kind, wanted),
                                    some.empty() ? "none" : std::to_string(some.size()), listed(all, kind)));
}

void refute_enqueued(const From& from, std::string_view kind, const Wanted& wanted) {
  const auto some = enqueued(from, kind, wanted);
  if (some.empty()) return;
  throw AssertionFailed(fmt::format("wanted no task of {}; {}", said(kind, wanted), listed(some, kind)));
}

}  // namespace millrace::testing
