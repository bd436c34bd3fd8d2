#include "cli/until_empty.hpp"

#include "base/text.hpp"
#include "base/time_text.hpp"
#include "cli/table.hpp"
#include "postgres/connection.hpp"

#include <millrace/error.hpp>

#include <fmt/format.h>
#include <spdlog/logger.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <thread>
#include <utility>

#include <unistd.h>

namespace millrace::cli {
namespace {

std::string array_of(const std::vector<std::string>& texts) {
  postgres::ArrayText array;
  for (const std::string& text : texts) array.text(text);
  return std::move(array).take();
}

class Watch {
 public:
  Watch(const WorkerOptions& options, const std::vector<std::string>& handled)
      : options_(options), handled_(handled), schema_(base::quote_identifier(options.schema)) {
    std::vector<std::string> names;
    for (const WorkerQueue& queue : options.queues) names.push_back(queue.name);
    queues_ = array_of(names);
  }

  struct Left {
    bool any = false;   // something waits or runs
    bool busy = false;  // something runs, or is due and has a program here
  };
  Left look() {
    const auto rows =
        link().run(fmt::format("WITH running AS (SELECT EXISTS (SELECT FROM {0}.running_tasks r WHERE r.queue = ANY ($1)) AS any)"
                               " SELECT r.any OR EXISTS (SELECT FROM {0}.tickets k WHERE k.queue = ANY ($1)), r.any OR EXISTS ("
                               "   SELECT FROM {0}.tickets k WHERE k.queue = ANY ($1) AND k.run_at <= {0}.clock()"
                               "     AND k.kind_hash = ANY (ARRAY(SELECT {0}.kind_hash(h) FROM unnest($2::text[]) h))) FROM running r",
                               schema_),
                   postgres::Params().text(queues_).text(array_of(handled_)));
    return {.any = rows.boolean(0, 0), .busy = rows.boolean(0, 1)};
  }

  void tell_what_waits() {
    const auto rows = link().run(fmt::format("SELECT t.kind, count(*), min(k.run_at) FROM {0}.tickets k JOIN {0}.tasks t ON t.id = k.id"
                                             " WHERE k.queue = ANY ($1) GROUP BY t.kind ORDER BY 2 DESC, 1",
                                             schema_),
                                 postgres::Params().text(queues_));
    if (rows.size() == 0) return;
    constexpr int kinds_max = 10;
    std::int64_t count = 0;
    std::string kinds;
    for (int row = 0; row < rows.size(); ++row) {
      count += rows.integer(row, 1);
      if (row >= kinds_max) continue;
      const std::string kind(rows.text(row, 0));
      const bool known = std::find(handled_.begin(), handled_.end(), kind) != handled_.end();
      kinds += fmt::format(
          "{}{} of {}{}", kinds.empty() ? "" : ", ", rows.integer(row, 1), printable(kind),
          known ? fmt::format(" (due at {}Z)", base::format_time(rows.time(row, 2).value_or(Time{})).substr(0, 19)) : " (no program here)");
    }
    if (rows.size() > kinds_max) kinds += fmt::format(", and {} more kinds", rows.size() - kinds_max);
    options_.logger->info("waiting for {} {}: {}", count, count == 1 ? "task" : "tasks", kinds);
  }

  void disconnect() { link_.reset(); }

 private:
  postgres::Connection& link() {
    if (!link_ || link_->broken()) {
      link_.reset();
      link_.emplace(
          postgres::Dial{.url = options_.database, .application = "millrace", .schema = options_.schema, .session = options_.listen});
    }
    return *link_;
  }

  const WorkerOptions& options_;
  const std::vector<std::string>& handled_;
  std::string schema_;
  std::string queues_{};
  std::optional<postgres::Connection> link_{};
};

}  // namespace

void watch_until_empty(const std::stop_token& stop, const WorkerOptions& options, const std::vector<std::string>& handled) {
  Watch watch(options, handled);
  bool told = false;
  int idle = 0;
  for (int empty = 0; empty < 2 && !stop.stop_requested();) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    try {
      const auto left = watch.look();
      empty = left.any ? 0 : empty + 1;
      idle = left.any && !left.busy ? idle + 1 : 0;
      if (idle == 5 && !std::exchange(told, true)) watch.tell_what_waits();
    } catch (const Error&) {
      empty = idle = 0;  // the database is away; the worker waits for it too
      watch.disconnect();
    }
  }
  if (!stop.stop_requested()) ::kill(::getpid(), SIGTERM);
}

}  // namespace millrace::cli
