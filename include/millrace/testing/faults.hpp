// What goes wrong in production, at the moment a test chooses.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <millrace/testing/database.hpp>
#include <millrace/worker.hpp>

namespace millrace::testing {

/// Handlers that meet a fault. Each task of a kind meets it until it has happened to it `times` times, then runs undisturbed:
///
///     Faults faults{db};
///     faults.repeat(ship.kind());
///     drain(db, [&](Worker& worker) { faults.handle(worker, ship, ship_handler); });
///
/// Several faults of a kind come one after the other. They happen in the database and on the wire, not in the library, which is the one
/// that you deploy. What is lost is a lease, that is, a batch: other tasks of it may run twice as well.
/// Use them with drain(), or a worker of Database::worker_options(). Thread-safe. Must outlive the workers.
class Faults {
 public:
  explicit Faults(Database& database);
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;
  Faults(Faults&&) = delete;
  Faults& operator=(Faults&&) = delete;

  /// The handler runs to its end, and the task runs again, as if the worker had died before it could record that. What the handler did
  /// in context.transaction() is undone, everything else happens twice. For handlers that must bear it: all of them.
  Faults& repeat(const std::string& kind, int times = 1);
  /// The lease is gone before the handler begins: as after a long pause of the machine. The run is asked to stop within a heartbeat;
  /// if it goes on, its end is refused and its transaction rolled back. The task runs again.
  Faults& lose_lease(const std::string& kind, int times = 1);
  /// The connection breaks while the transaction of a completed run is committed: the commit takes place, its answer is lost. (A run
  /// without context.transaction() gets one.) The task is completed and does not run again.
  Faults& cut_commit(const std::string& kind, int times = 1);

  /// How often a fault has happened.
  [[nodiscard]] int struck() const noexcept;

  /// Gives the worker this handler, with the faults of its kind.
  template <class Args, class Result, class Handler>
  void handle(Worker& worker, const Task<Args, Result>& task, Handler handler, const ExceptionRules& rules = {}) {
    worker.handle_raw(task.kind(), wrap(task.kind(), task.wrap(std::move(handler))),
                      {.aliases = task.aliases(),
                       .defaults = task.defaults(),
                       .schema = task.schema(),
                       .exceptions = rules,
                       .problem = [task](std::string_view args) { return task.problem(args); }});
  }
  /// The same on the level of JSON text.
  [[nodiscard]] RawHandler wrap(const std::string& kind, RawHandler handler);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace millrace::testing
