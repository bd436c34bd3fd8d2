// The leases this worker holds, and how many of their tasks are not settled yet.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "worker/claimed.hpp"

namespace millrace::worker {

class Ledger {
 public:
  void add(const std::shared_ptr<Batch>& batch, int tasks);
  /// One task of the lease is settled, or lost.
  void settled(LeaseId lease);
  /// Leases whose every task is settled and that were neither lost nor dropped yet; they are handed over.
  [[nodiscard]] std::vector<LeaseId> take_done();
  void put_back_done(const std::vector<LeaseId>& leases);
  /// The leases with unsettled tasks, as an array text.
  [[nodiscard]] std::string named();
  /// Marks leases as lost and returns those that were known.
  std::vector<LeaseId> lose(const std::vector<LeaseId>& leases);
  std::vector<LeaseId> lose_all();

 private:
  struct Held {
    std::shared_ptr<Batch> batch;
    int unsettled = 0;
  };
  std::mutex mutex_;
  std::unordered_map<LeaseId, Held> held_;
  std::vector<LeaseId> done_;
};

}  // namespace millrace::worker
