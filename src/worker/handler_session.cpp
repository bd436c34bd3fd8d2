#include "worker/handler_session.hpp"

#include "base/fault.hpp"
#include "engine/enqueue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace millrace::worker {
namespace {

// Drops a session at the end, after its transaction: an interruption that was sent to it may arrive with the next task's statements, or
// with the ROLLBACK, which then did not take place.
class Leaving {
 public:
  Leaving(std::unique_ptr<postgres::Connection>& link, bool interrupted) : link_(link), interrupted_(interrupted) {}
  ~Leaving() {
    if (interrupted_) link_.reset();
  }
  Leaving(const Leaving&) = delete;
  Leaving& operator=(const Leaving&) = delete;
  Leaving(Leaving&&) = delete;
  Leaving& operator=(Leaving&&) = delete;

 private:
  std::unique_ptr<postgres::Connection>& link_;
  bool interrupted_;
};

}  // namespace

postgres::Connection& HandlerSession::connect(Session& session) {
  auto& link = session.link;
  if (link && !link->broken()) {
    state_.attach_again(*link, session.attached);
    return *link;
  }
  link.reset();
  session.attached = state_.registrations;
  link = state_.connect("handler");
  // The handler's statements are its own: they see the database's settings, and may take their time between two of them.
  // A handler that hangs does not hold its locks for ever: rescue ends its session.
  if (state_.options.listen) {
    link->script("SET idle_in_transaction_session_timeout = 0; RESET timezone; RESET datestyle; RESET client_min_messages");
  }
  return *link;
}

Enqueued HandlerSession::enqueue(std::string_view kind, std::string_view args, const EnqueueOptions& options) {
  postgres::Connection& link = connect(transaction_ ? aside_ : own_);
  try {
    return engine::enqueue([&](const std::string& sql, const postgres::Params& params) { return link.run(sql, params); }, kind, args,
                           options);
  } catch (const ConnectionError& e) {
    throw OutcomeUnknown(fmt::format("the connection broke before the answer came, so it may or may not have been done: {}", e.what()));
  }
}

pqxx::transaction_base& HandlerSession::transaction(std::optional<Milliseconds> timeout) {
  if (transaction_) return transaction_->driver();
  postgres::Connection& link = connect(own_);
  transaction_ = std::make_unique<postgres::Transaction>(link);
  // The server counts in 32 bits; what is longer, the heart keeps.
  if (timeout)
    transaction_->run(fmt::format("SET LOCAL statement_timeout = {}",
                                  std::min<std::int64_t>(timeout->count(), std::numeric_limits<std::int32_t>::max())));
  // Behind a pooler only the transaction itself knows which session serves it.
  const int pid = state_.options.listen ? link.backend_pid() : static_cast<int>(transaction_->run("SELECT pg_backend_pid()").integer(0, 0));
  if (slot_.session_opened(pid)) state_.heart_bell.ring();
  return transaction_->driver();
}

void HandlerSession::commit(const Claimed& task, const std::string& result) {
  // Whatever happens now, this transaction is over; and from here on it is too late to stop it, but for what is on its way already.
  const Leaving leaving(own_.link, slot_.session_closed());
  const std::unique_ptr<postgres::Transaction> last = std::move(transaction_);
  last->run(fmt::format("SELECT {}.complete_task($1, $2, $3::jsonb)", state_.schema),
            postgres::Params()
                .integer(task.id().value)
                .integer(task.batch->lease.value)
                .maybe(result.empty() ? std::nullopt : std::optional(result)));
  base::fault_point("before-commit");
  last->commit();
  base::fault_point("after-commit");
}

void HandlerSession::roll_back() noexcept {
  const Leaving leaving(own_.link, slot_.session_closed());
  transaction_.reset();
}

}  // namespace millrace::worker
