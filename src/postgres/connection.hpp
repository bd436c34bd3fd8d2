// One connection to PostgreSQL, the way Millrace uses it: autocommitted single statements, errors translated.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <millrace/types.hpp>

#include "postgres/params.hpp"
#include "postgres/result.hpp"

namespace pqxx {
class connection_base;
}

namespace millrace::postgres {

struct Dial {
  ConnectionString url{};
  std::string application = "millrace";
  /// Named in messages about missing objects. Empty: no Millrace schema is expected, so every SQL error is a DatabaseError.
  std::string schema = "millrace";
  Milliseconds connect_timeout{10'000};
  /// false: no prepared statement and no session state, for transaction poolers.
  bool session = true;
};

/// Connects in the constructor and never again: once broken() it must be replaced, on purpose, because the session's
/// state is lost with it. Every session of ours runs READ COMMITTED with UTF-8, ISO dates and UTC, and cannot stay
/// idle in a transaction. Not thread-safe, but for interrupt().
///
/// Throws ConnectionError when the server cannot be reached or the connection breaks, InvalidArgument, NotFound,
/// StateError, LeaseLost, SchemaError and DatabaseError as errors.hpp maps the SQLSTATE.
class Connection {
 public:
  explicit Connection(const Dial& dial);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  Connection(Connection&&) = delete;
  Connection& operator=(Connection&&) = delete;

  /// One statement, committed on return (unless within a Scope). Prepared on first use.
  Result run(const std::string& sql, const Params& params = {});
  /// Any number of statements without parameters, in one round trip and (unless they say otherwise) one transaction.
  Result script(const std::string& sql);

  /// One transaction around all that the connection runs meanwhile; rolled back at its end unless committed. One at a time.
  class Scope {
   public:
    /// `begin` is a BEGIN, and whatever else is to hold for this transaction alone.
    explicit Scope(Connection& connection, const std::string& begin = "BEGIN ISOLATION LEVEL READ COMMITTED");
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    Scope(Scope&&) = delete;
    Scope& operator=(Scope&&) = delete;

    /// What it throws means rolled back, but for a ConnectionError: then nobody knows.
    void commit();

   private:
    void roll_back() noexcept;

    Connection& connection_;
    bool open_ = true;
  };

  /// Begins to listen; wakes then come through wait().
  void listen(std::string_view channel);
  /// Listens no more.
  void deafen();
  /// Waits for a notification, for `timeout`, or until `interrupt_fd` (an eventfd or pipe; -1: none) can be read.
  /// Returns the number of notifications that came.
  int wait(Milliseconds timeout, int interrupt_fd = -1);
  /// How many of the notifications that the last wait() returned came on this channel.
  [[nodiscard]] int heard(std::string_view channel) const;

  /// Asks the server to cancel what runs on this connection now. May be called from another thread.
  void interrupt() noexcept;
  [[nodiscard]] bool broken() const noexcept;
  [[nodiscard]] int backend_pid() const noexcept;
  [[nodiscard]] int server_version() const noexcept;
  [[nodiscard]] const std::string& schema() const noexcept;
  /// For the other files of src/postgres.
  [[nodiscard]] pqxx::connection_base& driver() noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::postgres
