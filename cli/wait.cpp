#include "cli/wait.hpp"

#include "cli/app.hpp"
#include "cli/failure.hpp"
#include "cli/table.hpp"
#include "cli/task_text.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <string>

namespace millrace::cli {
namespace {

// One line on a terminal that is written over again and again.
class Ticker {
 public:
  Ticker() : shown_(::isatty(STDERR_FILENO) == 1) {}
  ~Ticker() { clear(); }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;
  Ticker(Ticker&&) = delete;
  Ticker& operator=(Ticker&&) = delete;

  void show(const std::string& text) {
    if (!shown_) return;
    fmt::print(stderr, "\r{}\033[K", printable(text));
    std::fflush(stderr);
    dirty_ = true;
  }
  void clear() {
    if (dirty_) fmt::print(stderr, "\r\033[K");
    dirty_ = false;
  }

 private:
  bool shown_;
  bool dirty_ = false;
};

}  // namespace

void wait_for(const Globals& globals, Client& client, TaskId id, std::optional<Milliseconds> patience) {
  Ticker ticker;
  const auto on_progress = [&](const Progress& progress) { ticker.show(bar(progress)); };
  const auto ended = patience ? client.wait(id, *patience, on_progress) : client.wait(id, std::chrono::days(3650), on_progress);
  ticker.clear();
  const auto task = ended ? ended : client.get(id);
  if (!task) throw NotFound(fmt::format("there is no task {} any more; millrace task list shows the latest", id.value));
  if (globals.json) fmt::print("{}\n", json_of(*task, client.progress(id)));
  if (!ended)
    throw Exit{
        fail(1, fmt::format("task {} is {} still; millrace task wait {} goes on waiting", id.value, to_string(task->status), id.value))};
  if (task->status != Status::completed) {
    // The last error is why it failed; a cancelled one may have errors of attempts, even of a death, before.
    std::string why = task->reason.value_or("");
    if (task->status == Status::failed && !task->errors.empty()) why = task->errors.back().message;
    throw Exit{fail(1, fmt::format("task {} is {}{}{}", id.value, to_string(task->status), why.empty() ? "" : ": ", why))};
  }
  if (!globals.json) fmt::print("task {} is completed{}\n", id.value, task->result ? ": " + printable(*task->result) : "");
}

}  // namespace millrace::cli
