#include <millrace/testing/database.hpp>

#include "base/text.hpp"
#include "base/time_text.hpp"
#include "postgres/connection.hpp"
#include "testing/clock_impl.hpp"
#include "testing/server.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace millrace::testing {
namespace {

std::optional<ConnectionString> server_of(const ConnectionString& given) {
  if (!given.reveal().empty()) return given;
  if (const char* text = std::getenv("MILLRACE_TESTING_SERVER"); text != nullptr && *text != '\0') return ConnectionString(text);
  return {};
}

}  // namespace

struct Database::Impl {
  explicit Impl(const DatabaseOptions& options) : server(Server::get(server_of(options.server))), schema(options.schema) {
    name = server->create(schema);
    url = server->url(name);
  }
  ~Impl() {
    client.reset();
    link.reset();
    try {
      server->drop(name);
    } catch (const std::exception& e) {
      fmt::print(stderr, "millrace::testing: database {} was left behind: {}\n", name, e.what());
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  Impl(Impl&&) = delete;
  Impl& operator=(Impl&&) = delete;

  postgres::Connection& connection() {
    if (!link || link->broken()) {
      link.reset();
      link = std::make_unique<postgres::Connection>(postgres::Dial{.url = url, .application = "millrace testing", .schema = ""});
      // New tables go to public, as those of a program that does not know the schema do.
      link->script(fmt::format("SET search_path = public, {}", base::quote_identifier(schema)));
    }
    return *link;
  }
  void learn_reset();

  std::shared_ptr<Server> server;
  std::string schema;
  std::string name{};
  std::string url{};
  std::mutex mutex{};
  std::unique_ptr<postgres::Connection> link{};
  std::unique_ptr<Client> client{};
  std::unique_ptr<Clock> clock{};
  std::string tables{};   // the queue's, for TRUNCATE
  std::string content{};  // the statements that write what a new schema holds
};

// Which tables there are and what they hold from the beginning, whatever the migrations made.
void Database::Impl::learn_reset() {
  postgres::Connection& link_now = connection();
  const auto all = link_now.run(fmt::format(
      "SELECT quote_ident(c.relname) FROM pg_class c WHERE c.relnamespace = {}::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> "
      "'migrations' ORDER BY 1",
      base::quote_literal(base::quote_identifier(schema))));
  for (int row = 0; row < all.size(); ++row) {
    const std::string table = fmt::format("{}.{}", base::quote_identifier(schema), all.text(row, 0));
    tables += (tables.empty() ? "" : ", ") + table;
    const auto held = link_now.run(fmt::format("SELECT jsonb_agg(to_jsonb(t)) FROM {} t", table));
    if (held.is_null(0, 0)) continue;
    content += fmt::format("INSERT INTO {0} OVERRIDING SYSTEM VALUE SELECT * FROM jsonb_populate_recordset(NULL::{0}, {1}::jsonb);", table,
                           base::quote_literal(held.text(0, 0)));
  }
}

Database::Database(const DatabaseOptions& options) {
  base::check_schema_name(options.schema);
  impl_ = std::make_unique<Impl>(options);
  impl_->learn_reset();
  auto clock = std::make_unique<Clock::Impl>();
  clock->database = this;
  impl_->clock.reset(new Clock(std::move(clock)));
}

Database::~Database() = default;

const std::string& Database::url() const noexcept { return impl_->url; }
const std::string& Database::schema() const noexcept { return impl_->schema; }
Clock& Database::clock() noexcept { return *impl_->clock; }

Client& Database::client() {
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->client) impl_->client = std::make_unique<Client>(ClientOptions{.database = impl_->url, .schema = impl_->schema});
  return *impl_->client;
}

WorkerOptions Database::worker_options(int threads) const {
  using namespace std::chrono_literals;
  return {.database = impl_->url,
          .schema = impl_->schema,
          .queues = {{"default", threads}},
          .name = "test",
          .heartbeat = 20ms,
          .poll_interval = 10ms,
          .grace = 5s,
          .stop_patience = 1s,
          .exit_if_stuck = false,
          .logger = std::make_shared<spdlog::logger>("millrace", std::make_shared<spdlog::sinks::null_sink_mt>())};
}

void Database::exec(const std::string& sql) {
  const std::lock_guard lock(impl_->mutex);
  impl_->connection().script(sql);
}

std::vector<std::vector<std::string>> Database::rows(const std::string& sql) {
  const std::lock_guard lock(impl_->mutex);
  const auto result = impl_->connection().script(sql);
  std::vector<std::vector<std::string>> all(static_cast<std::size_t>(result.size()));
  for (int row = 0; row < result.size(); ++row) {
    for (int column = 0; column < result.columns(); ++column) all[static_cast<std::size_t>(row)].emplace_back(result.text(row, column));
  }
  return all;
}

std::string Database::value(const std::string& sql) {
  const auto all = rows(sql);
  return all.empty() || all.front().empty() ? std::string() : all.front().front();
}

std::optional<Time> Database::next_due() {
  return base::parse_time(value(fmt::format("SELECT least((SELECT min(run_at) FROM {0}.tickets), (SELECT min(next_at) FROM {0}.schedules))",
                                            base::quote_identifier(impl_->schema))));
}

void Database::reset(const std::vector<std::string>& tables) {
  // The sessions of a worker that has stopped take the server a moment to end.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'millrace worker%'") !=
         "0") {
    if (std::chrono::steady_clock::now() > patience)
      throw StateError("a worker is still connected to this database; stop it before reset()");
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::string all = impl_->tables;
  for (const std::string& table : tables) all += ", " + table;
  try {
    exec(fmt::format("SET LOCAL lock_timeout = '10s'; TRUNCATE {} RESTART IDENTITY CASCADE; {}", all, impl_->content));
  } catch (const DatabaseError& e) {
    if (e.sqlstate() != "55P03") throw;
    throw StateError("a transaction holds on to a table for more than 10 seconds; end it before reset()");
  }
  impl_->clock->reset();
}

}  // namespace millrace::testing
