#include "worker/ledger.hpp"

#include "postgres/params.hpp"

namespace millrace::worker {

void Ledger::add(const std::shared_ptr<Batch>& batch, int tasks) {
  const std::lock_guard lock(mutex_);
  held_.emplace(batch->lease, Held{batch, tasks});
}

void Ledger::settled(LeaseId lease) {
  const std::lock_guard lock(mutex_);
  const auto found = held_.find(lease);
  if (found == held_.end() || --found->second.unsettled > 0) return;
  // One that was lost is not ours to drop: should it be there all the same, its tasks have to be given back first.
  if (!found->second.batch->lost) done_.push_back(lease);
  held_.erase(found);
}

std::vector<LeaseId> Ledger::take_done() {
  const std::lock_guard lock(mutex_);
  return std::exchange(done_, {});
}

void Ledger::put_back_done(const std::vector<LeaseId>& leases) {
  const std::lock_guard lock(mutex_);
  done_.insert(done_.end(), leases.begin(), leases.end());
}

std::string Ledger::named() {
  postgres::ArrayText text;
  const std::lock_guard lock(mutex_);
  for (const auto& [lease, held] : held_) text.integer(lease.value);
  return std::move(text).take();
}

std::vector<LeaseId> Ledger::lose(const std::vector<LeaseId>& leases) {
  std::vector<LeaseId> known;
  const std::lock_guard lock(mutex_);
  for (const LeaseId lease : leases) {
    const auto found = held_.find(lease);
    if (found == held_.end()) continue;
    found->second.batch->lost = true;
    known.push_back(lease);
  }
  return known;
}

std::vector<LeaseId> Ledger::lose_all() {
  std::vector<LeaseId> known;
  const std::lock_guard lock(mutex_);
  for (const auto& [lease, held] : held_) {
    held.batch->lost = true;
    known.push_back(lease);
  }
  return known;
}

}  // namespace millrace::worker
