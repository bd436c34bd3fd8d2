#include "cli/task_text.hpp"

#include "base/time_text.hpp"
#include "cli/duration.hpp"
#include "cli/table.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>

namespace millrace::cli {
namespace {

std::string as_json(std::string_view text) { return nlohmann::json(text).dump(); }
std::string time_json(const std::optional<Time>& time) { return time ? as_json(base::format_time(*time)) : "null"; }

std::string id_json(const std::optional<TaskId>& id) { return id ? std::to_string(id->value) : "null"; }
std::string text_json(const std::optional<std::string>& text) { return text ? as_json(*text) : "null"; }

}  // namespace

// args and result are embedded as the database printed them: no number is read and written again.
std::string json_of(const TaskRecord& task) {
  std::string errors;
  for (const TaskError& error : task.errors) {
    errors += fmt::format("{}{{\"attempt\": {}, \"at\": {}, \"worker\": {}, \"message\": {}}}", errors.empty() ? "" : ", ", error.attempt,
                          time_json(error.at), as_json(error.worker), as_json(error.message));
  }
  return fmt::format(
      "{{\"id\": {}, \"kind\": {}, \"queue\": {}, \"status\": \"{}\", \"priority\": {}, \"attempt\": {}, \"max_attempts\": {}, \"run_at\": "
      "{},"
      " \"created_at\": {}, \"started_at\": {}, \"finished_at\": {}, \"dead_at\": {}, \"lease\": {}, \"worker\": {}, \"timeout_ms\": {}, "
      "\"backoff\": {},"
      " \"args\": {}, \"result\": {}, \"errors\": [{}], \"expires_at\": {}, \"reason\": {}, \"correlation\": {}, \"tenant\": {}, \"tags\": "
      "{},"
      " \"metadata\": {}, \"traceparent\": {}, \"forwarded_to\": {}, \"forwarded_from\": {}}}",
      task.id.value, as_json(task.kind), as_json(task.queue), to_string(task.status), task.priority.value(), task.attempt,
      task.max_attempts, time_json(task.run_at), time_json(task.created_at), time_json(task.started_at), time_json(task.finished_at),
      time_json(task.dead_at), task.lease ? std::to_string(task.lease->value) : "null", task.worker ? as_json(*task.worker) : "null",
      task.timeout ? std::to_string(task.timeout->count()) : "null", task.backoff.value_or("null"), task.args, task.result.value_or("null"),
      errors, time_json(task.expires_at), text_json(task.reason), text_json(task.correlation), text_json(task.tenant),
      nlohmann::json(task.tags).dump(), nlohmann::json(task.metadata).dump(), text_json(task.traceparent), id_json(task.forwarded_to),
      id_json(task.forwarded_from));
}

std::string json_of(const TaskRecord& task, const std::optional<Progress>& progress) {
  std::string said = "null";
  if (progress) {
    said = nlohmann::ordered_json{{"done", progress->done},
                                  {"total", progress->total > 0 ? nlohmann::ordered_json(progress->total) : nlohmann::ordered_json()},
                                  {"note", progress->note},
                                  {"attempt", progress->attempt},
                                  {"at", base::format_time(progress->at)}}
               .dump();
  }
  const std::string row = json_of(task);
  return fmt::format("{}, \"progress\": {}}}", row.substr(0, row.size() - 1), said);
}

void print_counts(const Globals& globals, const std::vector<TaskCount>& counts, const char* noun) {
  Table table({"QUEUE", "KIND", "STATUS", "TASKS"});
  std::int64_t total = 0;
  for (const TaskCount& one : counts) {
    if (globals.json) {
      fmt::print(
          "{}\n",
          nlohmann::ordered_json{{"queue", one.queue}, {"kind", one.kind}, {"status", to_string(one.status)}, {"tasks", one.tasks}}.dump());
      continue;
    }
    table.add({one.queue, one.kind, std::string(to_string(one.status)), std::to_string(one.tasks)});
    total += one.tasks;
  }
  if (globals.json) return;
  if (!counts.empty()) table.print();
  fmt::print("{}\n", counts.empty() ? fmt::format("no {}s", noun) : fmt::format("{} {}{}", total, noun, total == 1 ? "" : "s"));
}

void print_next_page(Client& client, TaskFilter filter, const std::vector<TaskRecord>& page) {
  if (page.empty() || page.size() < static_cast<std::size_t>(filter.limit.value_or(50))) return;
  filter.before = page.back().id;
  filter.limit = 1;
  if (!client.list(filter).empty()) fmt::print("next page: the same with --before {}\n", page.back().id.value);
}

std::string last_error(const TaskRecord& task) {
  return task.errors.empty() ? "" : task.errors.back().message.substr(0, task.errors.back().message.find('\n'));
}

std::string bar(const Progress& progress) {
  std::string text;
  if (progress.total > 0) {
    constexpr int width = 20;
    const double share = std::clamp(static_cast<double>(progress.done) / static_cast<double>(progress.total), 0.0, 1.0);
    const auto full = static_cast<std::size_t>(share * width);
    text = fmt::format("[{}{}] {:3.0f} %  {}/{}", std::string(full, '#'), std::string(width - full, '-'), share * 100, progress.done,
                       progress.total);
  } else {
    text = std::to_string(progress.done);
  }
  return progress.note.empty() ? text : text + "  " + progress.note;
}

std::string missing_worker(const TaskRecord& task, const std::vector<WorkerRecord>& workers) {
  const bool waits = task.status == Status::pending || task.status == Status::scheduled || task.status == Status::retrying;
  // By this host's clock, which is good enough for a hint. What is not due waits for its time first.
  if (!waits || (task.status != Status::pending && task.run_at > std::chrono::system_clock::now())) return {};
  const auto has = [](const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  int serve = 0, handle = 0, claim = 0;
  for (const WorkerRecord& worker : workers) {
    if (!worker.alive || worker.state == "stopping" || !has(worker.queues, task.queue)) continue;
    ++serve;
    if (worker.kinds && !has(*worker.kinds, task.kind)) continue;
    ++handle;
    if (worker.state != "paused") ++claim;
  }
  if (claim > 0) return {};
  if (handle > 0) return fmt::format("every worker that handles {} in queue {} is paused", task.kind, task.queue);
  if (serve > 0)
    return fmt::format("no live worker of queue {} handles {}; millrace worker list shows what they handle", task.queue, task.kind);
  return fmt::format("no live worker serves queue {}", task.queue);
}

void print_task(const TaskRecord& task, const std::optional<Progress>& progress, const std::string& held_up) {
  const auto line = [](const char* name, const std::string& value) {
    if (!value.empty()) fmt::print("{:<13} {}\n", name, printable(value, true));
  };
  const auto time = [](const std::optional<Time>& at) { return at ? base::format_time(*at) : std::string(); };
  line("task", std::to_string(task.id.value));
  line("kind", task.kind);
  line("queue", task.queue);
  line("status", std::string(to_string(task.status)));
  line("held up", held_up);
  line("priority", std::to_string(task.priority.value()));
  line("attempt", fmt::format("{} of {}", task.attempt, task.max_attempts));
  line("run at", time(task.run_at));
  line("created at", time(task.created_at));
  line("started at", time(task.started_at));
  line("finished at", time(task.finished_at));
  if (task.timeout) line("timeout", format_duration(*task.timeout));
  line("expires at", time(task.expires_at));
  line("reason", task.reason.value_or(""));
  line("correlation", task.correlation.value_or(""));
  line("tenant", task.tenant.value_or(""));
  line("tags", fmt::format("{}", fmt::join(task.tags, ", ")));
  for (const auto& one : task.metadata) line("metadata", one.first + " = " + one.second);
  line("traceparent", task.traceparent.value_or(""));
  if (task.forwarded_from) line("made from", fmt::format("dead letter {}", task.forwarded_from->value));
  if (task.forwarded_to) line("forwarded to", fmt::format("task {}", task.forwarded_to->value));
  line("retry policy", task.backoff.value_or(""));
  line("worker", task.worker.value_or(""));
  if (progress) line("progress", bar(*progress));
  line("args", task.args);
  line("result", task.result.value_or(""));
  for (const TaskError& error : task.errors)
    line("error", fmt::format("attempt {} at {}: {}", error.attempt, base::format_time(error.at), error.message));
}

}  // namespace millrace::cli
