// What the threads of one worker share.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <spdlog/logger.h>

#include <millrace/worker.hpp>

#include "postgres/connection.hpp"
#include "worker/announcer.hpp"
#include "worker/bell.hpp"
#include "worker/board.hpp"
#include "worker/interrupt.hpp"
#include "worker/lane.hpp"
#include "worker/ledger.hpp"
#include "worker/outbox.hpp"
#include "worker/slot.hpp"
#include "worker/tally.hpp"

namespace millrace::worker {

/// A lane with what only the claimer and the heart know of it.
struct Serving {
  Serving(const WorkerQueue& queue, int batch, Bell& claimer) : lane(queue.name, queue.concurrency, batch, claimer) {}
  Lane lane;
  Slots slots{};
  std::atomic<bool> suspects{false};  ///< Suspects wait in this queue: see docs/liveness.md.
  int missing = 0;                    ///< Of whoever keeps the deadlines: threads that were left behind and not replaced yet.
};

/// A kind that the program handles; its aliases lead to the same one.
struct Handled {
  std::string name{};
  RawHandler handler{};
  KindOptions options{};
  bool declared = true;  ///< To be registered: the program says what its tasks are like.
};

/// A schedule that the program declares.
struct Declared {
  std::string name{}, rule{}, kind{}, args{};
  ScheduleOptions options{};
};

struct State {
  explicit State(WorkerOptions given);

  /// A session of this worker; attached, so that rescue can end it.
  [[nodiscard]] std::unique_ptr<postgres::Connection> connect(const char* role) const;
  void register_worker(postgres::Connection& connection) const;
  /// After it was taken for dead. Each of its threads then has to tie its session to the worker anew: attach_again().
  void register_again(postgres::Connection& connection);
  /// Ties a session to the worker, if that was registered anew since `attached`, which is set.
  void attach_again(postgres::Connection& connection, int& attached) const;
  /// Waits out a lost connection: longer with each failure, never past `stopping`.
  void back_off(int failures, const char* role, const std::exception& error);
  /// Its leases are gone: what has not begun must not begin, what runs is asked to stop.
  void lose(const std::vector<LeaseId>& leases);
  [[nodiscard]] bool idle();

  WorkerOptions options;
  std::shared_ptr<spdlog::logger> log;
  std::string id;  ///< UUID.
  std::string host;
  std::string schema;  ///< Quoted.
  std::map<std::string, std::shared_ptr<const Handled>, std::less<>> kinds{};
  std::vector<Declared> schedules{};

  Bell claimer_bell{};
  Bell heart_bell{};
  Bell deadline_bell{};
  std::vector<std::unique_ptr<Serving>> queues{};
  Ledger ledger{};
  Outbox outbox{};
  Board board{};
  Wishes wishes{};
  Tally tally{};
  Announcer announcer{};
  std::atomic<bool> claiming{true};
  std::atomic<bool> paused_here{false}, paused_there{false};  ///< By the program; by somebody from outside.
  std::atomic<bool> stop_wished{false};
  std::function<void()> on_stop_wish{[] {}};
  std::atomic<int> registrations{0};  ///< How often it was registered anew.
  /// For whoever keeps the deadlines: a thread of this queue was left behind, so start another. May throw std::system_error.
  std::function<void(Serving&)> replace_executor{[](Serving&) {}};
  std::mutex giving_back{};                 ///< Held while tasks are in nobody's hands, from a lane to the outbox.
  std::atomic<bool> orders_changed{false};  ///< The heart is to look what is asked of the worker.
  [[nodiscard]] bool paused() const noexcept { return paused_here || paused_there; }
  std::atomic<bool> beating{true};
  std::atomic<bool> listening{true};
  std::atomic<int> wakes{0};
  std::atomic<bool> schedules_changed{true};  ///< The heart is to look when the next one is due.
  int listener_fd = -1;                       ///< eventfd that ends the listener's wait
};

}  // namespace millrace::worker
