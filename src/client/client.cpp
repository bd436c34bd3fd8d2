#include <millrace/client.hpp>

#include "base/text.hpp"
#include "engine/enqueue.hpp"
#include "engine/tasks.hpp"
#include "postgres/connection.hpp"

#include <fmt/format.h>

#include <mutex>

namespace millrace {

struct Client::Impl {
  explicit Impl(ClientOptions given) : options(std::move(given)) { base::check_schema_name(options.schema); }

  // The open connection, made anew if the last one broke.
  postgres::Connection& connection() {
    if (!link || link->broken()) {
      link.reset();
      link = std::make_unique<postgres::Connection>(postgres::Dial{
          .url = options.database, .application = "millrace client", .schema = options.schema, .connect_timeout = options.connect_timeout});
    }
    return *link;
  }

  // Runs one write. A connection that breaks under it leaves its outcome unknown.
  template <class Write>
  auto write(const Write& body) {
    const std::lock_guard lock(mutex);
    postgres::Connection& open = connection();
    try {
      return body(open);
    } catch (const ConnectionError& e) {
      throw OutcomeUnknown(fmt::format("the connection broke before the answer came, so it may or may not have been done: {}", e.what()));
    }
  }
  template <class Read>
  auto read(const Read& body) {
    const std::lock_guard lock(mutex);
    return body(connection());
  }

  static engine::Run through(postgres::Connection& open) {
    return [&open](const std::string& sql, const postgres::Params& params) { return open.run(sql, params); };
  }

  ClientOptions options;
  std::mutex mutex;
  std::unique_ptr<postgres::Connection> link;
};

Client::Client(ClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

Enqueued Client::enqueue(std::string_view kind, std::string_view args, const EnqueueOptions& options) {
  EnqueueOptions here = options;
  here.schema = impl_->options.schema;
  return impl_->write([&](postgres::Connection& open) { return engine::enqueue(Impl::through(open), kind, args, here); });
}

std::vector<TaskId> Client::enqueue_many(std::string_view kind, std::span<const std::string> args, const EnqueueOptions& options) {
  EnqueueOptions here = options;
  here.schema = impl_->options.schema;
  return impl_->write([&](postgres::Connection& open) {
    open.script("BEGIN");
    try {
      auto ids = engine::enqueue_many(Impl::through(open), kind, args, here);
      open.script("COMMIT");
      return ids;
    } catch (...) {
      if (!open.broken()) open.script("ROLLBACK");
      throw;
    }
  });
}

std::optional<TaskRecord> Client::get(TaskId id) {
  return impl_->read([&](postgres::Connection& open) { return engine::get_task(open, impl_->options.schema, id); });
}
std::vector<TaskRecord> Client::list(const TaskFilter& filter) {
  return impl_->read([&](postgres::Connection& open) { return engine::list_tasks(open, impl_->options.schema, filter); });
}
Status Client::cancel(TaskId id) {
  return impl_->write([&](postgres::Connection& open) { return engine::cancel_task(open, impl_->options.schema, id); });
}
Status Client::retry(TaskId id) {
  return impl_->write([&](postgres::Connection& open) { return engine::retry_task(open, impl_->options.schema, id); });
}
std::vector<QueueStats> Client::stats() {
  return impl_->read([&](postgres::Connection& open) { return engine::queue_stats(open, impl_->options.schema); });
}

}  // namespace millrace
