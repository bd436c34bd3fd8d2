#include "postgres/connection.hpp"

#include "base/text.hpp"
#include "postgres/conninfo.hpp"
#include "postgres/errors.hpp"

#include <fmt/format.h>
#include <pqxx/pqxx>

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <unordered_map>
#include <utility>

namespace millrace::postgres {
namespace {

// libpq counts the seconds in 32 bits, and the milliseconds until they are over too.
constexpr std::chrono::seconds connect_timeout_min{1}, connect_timeout_max = std::chrono::days(24);

std::map<std::string, std::string> defaults_of(const Dial& dial) {
  const auto timeout = std::clamp(std::chrono::ceil<std::chrono::seconds>(dial.connect_timeout), connect_timeout_min, connect_timeout_max);
  return {{"application_name", dial.application},
          {"client_encoding", "UTF8"},
          {"connect_timeout", std::to_string(timeout.count())},
          {"keepalives_idle", "10"},
          {"keepalives_interval", "5"},
          {"keepalives_count", "3"},
          {"tcp_user_timeout", "20000"}};
}

// A dead client's session must not hold its locks: the server ends it when it idles in a transaction.
constexpr const char* session_settings =
    "SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;"
    " SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning;"
    " SET datestyle = 'ISO'; SET timezone = 'UTC'";

// Notes on which channel a notification came; listens as long as it lives.
class Ear final : public pqxx::notification_receiver {
 public:
  Ear(pqxx::connection_base& link, const std::string& channel, std::vector<std::string>& heard)
      : notification_receiver(link, channel), heard_(heard) {}
  void operator()(const std::string& /*payload*/, int /*backend_pid*/) override { heard_.push_back(channel()); }

 private:
  std::vector<std::string>& heard_;
};

}  // namespace

struct Connection::Impl {
  explicit Impl(const Dial& dial) : session(dial.session), schema(dial.schema), link(keywords(dial.url, defaults_of(dial))) {
    link.set_verbosity(pqxx::connection_base::terse);
    // Left to itself libpqxx 6 reconnects silently, without the session's state.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    link.inhibit_reactivation(true);
#pragma GCC diagnostic pop
  }

  ~Impl() {
    // An ear that goes says UNLISTEN, and complains on standard error if the server is gone: that is no news here.
    const pqxx::quiet_errorhandler quiet(link);
    ears.clear();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  Impl(Impl&&) = delete;
  Impl& operator=(Impl&&) = delete;

  // The exception that is being handled, as one of ours; remembers if it says that the session is lost.
  [[noreturn]] void rethrow() {
    try {
      rethrow_translated(schema);
    } catch (const ConnectionError&) {
      lost = true;
      throw;
    } catch (const OutcomeUnknown&) {
      lost = true;
      throw;
    } catch (const Error&) {
      if (!link.is_open()) lost = true;
      throw;
    }
  }

  // Those that came while a statement was executed too: libpqxx hands them to the ears after each.
  int take_notifications() {
    link.get_notifs();
    told = std::exchange(heard, {});
    return static_cast<int>(told.size());
  }

  pqxx::result execute(const std::string& sql, const Params& params) {
    pqxx::nontransaction work(link);
    const auto& values = params.values();
    std::vector<const char*> pointers;
    pointers.reserve(values.size());
    for (const auto& value : values) pointers.push_back(value ? value->c_str() : nullptr);
    const auto bound = pqxx::prepare::make_dynamic_params(pointers.begin(), pointers.end());
    const auto statement = [&] { return params.values().empty() ? work.exec(sql) : work.exec_params(sql, bound); };
    if (!session) return scoped ? statement() : in_one_transaction(work, statement);
    return work.exec_prepared(prepared_name(sql), bound);
  }

  // Left to itself libpqxx prepares on first use, and then nobody knows which of the two failed. A statement that cannot be
  // prepared is forgotten; one that only fails stays prepared, or a session that tries it again and again would fill with its copies.
  const std::string& prepared_name(const std::string& sql) {
    const auto [found, fresh] = prepared.try_emplace(sql, fmt::format("m{}", statements));
    if (!fresh) return found->second;
    ++statements;  // a name is never used twice, also when its statement could not be prepared
    try {
      link.prepare(found->second, sql);
      link.prepare_now(found->second);
    } catch (...) {
      link.unprepare(found->second);
      prepared.erase(found);
      throw;
    }
    return found->second;
  }

  // Behind a pooler the session's settings are nobody's: the isolation level is said with each statement.
  template <class Statement>
  pqxx::result in_one_transaction(pqxx::nontransaction& work, const Statement& statement) const {
    work.exec("BEGIN ISOLATION LEVEL READ COMMITTED");
    try {
      pqxx::result result = statement();
      work.exec("COMMIT");
      return result;
    } catch (...) {
      if (link.is_open()) work.exec("ROLLBACK");
      throw;
    }
  }

  bool session;
  bool lost = false;
  bool scoped = false;  // a Scope is open
  int statements = 0;
  std::string schema;
  pqxx::connection link;
  std::unordered_map<std::string, std::string> prepared;
  std::vector<std::string> heard{};  // the channels of the notifications that came since the last wait()
  std::vector<std::string> told{};   // of those that it returned
  std::vector<std::unique_ptr<Ear>> ears{};
};

Connection::Connection(const Dial& dial) try : impl_(std::make_unique<Impl>(dial)) {
  if (dial.session) script(session_settings);
} catch (const pqxx::broken_connection& e) {
  throw ConnectionError(fmt::format("cannot connect to {}: {}", dial.url.redacted(), primary_message(e.what())));
} catch (const pqxx::failure&) {
  rethrow_translated();
}

Connection::~Connection() = default;

Result Connection::run(const std::string& sql, const Params& params) {
  try {
    return Result(std::make_shared<const pqxx::result>(impl_->execute(sql, params)));
  } catch (const std::exception&) {
    impl_->rethrow();
  }
}

Result Connection::script(const std::string& sql) {
  try {
    pqxx::nontransaction work(impl_->link);
    return Result(std::make_shared<const pqxx::result>(work.exec(sql)));
  } catch (const std::exception&) {
    impl_->rethrow();
  }
}

Connection::Scope::Scope(Connection& connection, const std::string& begin) : connection_(connection) {
  connection_.impl_->scoped = true;
  try {
    connection_.script(begin);
  } catch (...) {
    roll_back();  // the BEGIN may be done, and what follows it refused
    throw;
  }
}

Connection::Scope::~Scope() {
  if (open_) roll_back();
}

void Connection::Scope::commit() {
  open_ = connection_.impl_->scoped = false;
  connection_.script("COMMIT");
}

void Connection::Scope::roll_back() noexcept {
  open_ = connection_.impl_->scoped = false;
  try {
    if (!connection_.broken()) connection_.script("ROLLBACK");
  } catch (const std::exception&) {
    // The connection is gone, and with it the transaction.
    return;
  }
}

void Connection::listen(std::string_view channel) {
  try {
    impl_->ears.push_back(std::make_unique<Ear>(impl_->link, std::string(channel), impl_->heard));
    // libpqxx does not say that the connection broke while it told the server.
    if (!impl_->link.is_open()) throw pqxx::broken_connection("the connection to the database was lost");
  } catch (const std::exception&) {
    impl_->rethrow();
  }
}

void Connection::deafen() {
  impl_->ears.clear();
  impl_->heard.clear();
}

int Connection::heard(std::string_view channel) const {
  return static_cast<int>(std::count(impl_->told.begin(), impl_->told.end(), channel));
}

int Connection::wait(Milliseconds timeout, int interrupt_fd) {
  try {
    if (const int already = impl_->take_notifications(); already > 0) return already;
    pollfd watched[2] = {{impl_->link.sock(), POLLIN, 0}, {interrupt_fd, POLLIN, 0}};
    if (watched[0].fd < 0) throw pqxx::broken_connection("the connection to the database was lost");
    if (::poll(watched, interrupt_fd < 0 ? 1 : 2, static_cast<int>(timeout.count())) < 0 && errno != EINTR) {
      throw ConnectionError("poll failed");
    }
    if (watched[0].revents == 0) return 0;
    const int came = impl_->take_notifications();
    if (!impl_->link.is_open()) throw pqxx::broken_connection("the connection to the database was lost");
    return came;
  } catch (const std::exception&) {
    impl_->lost = true;
    rethrow_translated();
  }
}

void Connection::interrupt() noexcept {
  try {
    impl_->link.cancel_query();
  } catch (const std::exception&) {
    // Nothing runs any more, or the server is gone: either way there is nothing left to cancel.
    return;
  }
}

bool Connection::broken() const noexcept { return impl_->lost || !impl_->link.is_open(); }
int Connection::backend_pid() const noexcept { return impl_->link.backendpid(); }
int Connection::server_version() const noexcept { return impl_->link.server_version(); }
const std::string& Connection::schema() const noexcept { return impl_->schema; }
pqxx::connection_base& Connection::driver() noexcept { return impl_->link; }

}  // namespace millrace::postgres
