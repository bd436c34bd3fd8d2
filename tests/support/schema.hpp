// A migrated schema of its own for each test.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "postgres/connection.hpp"

namespace millrace::test {

/// The database to test against. Throws if the run has none: then nothing would be tested.
[[nodiscard]] std::string database_url();

/// Installed through the migrations, dropped at the end.
class Schema {
 public:
  explicit Schema(std::string url = database_url());
  ~Schema();
  Schema(const Schema&) = delete;
  Schema& operator=(const Schema&) = delete;
  Schema(Schema&&) = delete;
  Schema& operator=(Schema&&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::string quoted() const { return '"' + name_ + '"'; }
  [[nodiscard]] const std::string& url() const noexcept { return url_; }
  /// A session that looks at this schema first.
  [[nodiscard]] std::unique_ptr<postgres::Connection> open() const;
  [[nodiscard]] postgres::Connection& connection() noexcept { return *link_; }
  /// A new connection in the place of one whose server went away.
  void reconnect() { link_ = open(); }
  /// One statement's first field.
  std::string value(const std::string& sql);
  std::int64_t number(const std::string& sql);

 private:
  std::string url_;
  std::string name_;
  std::unique_ptr<postgres::Connection> link_;
};

/// A session that runs one statement at a time in the background, so that a test can interleave several.
class Session {
 public:
  explicit Session(const Schema& schema) : link_(schema.open()) {}
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  Session(Session&&) = delete;
  Session& operator=(Session&&) = delete;

  /// Runs it here and now.
  postgres::Result run(const std::string& sql) { return link_->run(sql); }
  void script(const std::string& sql) { link_->script(sql); }
  /// Runs it in the background until finish().
  void start(std::string sql);
  /// Whether it waits for a lock now; looks until it does or it ended.
  [[nodiscard]] bool blocked(Schema& schema);
  /// Waits for its end; returns the SQLSTATE of its error, or nothing.
  std::string finish();
  [[nodiscard]] const postgres::Result& rows() const noexcept { return rows_; }
  [[nodiscard]] int pid() const noexcept { return link_->backend_pid(); }

 private:
  std::unique_ptr<postgres::Connection> link_;
  std::thread thread_;
  std::atomic<bool> ended_{true};
  std::string sqlstate_;
  postgres::Result rows_;
};

}  // namespace millrace::test
