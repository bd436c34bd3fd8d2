// Every error Millrace throws, grouped by what the caller can do about it.
#pragma once

#include <stdexcept>
#include <string>

namespace millrace {

/// Base of all errors thrown by this library. Messages never hold a password.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Fix the call: an argument is out of range or malformed. Nothing was written and the connection stays usable
/// (inside your own transaction: unless the database found it, which aborts that transaction as any SQL error does).
class InvalidArgument : public Error {
 public:
  InvalidArgument(std::string field, const std::string& problem) : Error(field + ' ' + problem), field_(std::move(field)) {}
  /// The name of the offending field, as in the options struct or the SQL function.
  [[nodiscard]] const std::string& field() const noexcept { return field_; }

 private:
  std::string field_;
};

/// There is no such task (or worker, or migration).
class NotFound : public Error {
 public:
  using Error::Error;
};

/// The state of the thing does not allow the operation, for example retrying a running task. Nothing was written.
class StateError : public Error {
 public:
  using Error::Error;
};

/// The schema is missing, too old, or too new for this binary. The message names the command that mends it.
class SchemaError : public Error {
 public:
  using Error::Error;
};

/// The database cannot be reached or the connection broke before anything could be committed: try again.
class ConnectionError : public Error {
 public:
  using Error::Error;
};

/// The connection broke while a commit was under way: it may have taken place or not. Read before you repeat.
class OutcomeUnknown : public Error {
 public:
  using Error::Error;
};

/// A settlement was refused because the task is no longer in this lease: it was rescued and runs, or ran, elsewhere. Or a named lock is
/// not held with this token any more.
class LeaseLost : public Error {
 public:
  using Error::Error;
};

/// Any other error that the database reported; `sqlstate()` is its five-character code.
class DatabaseError : public Error {
 public:
  DatabaseError(const std::string& message, std::string sqlstate) : Error(message), sqlstate_(std::move(sqlstate)) {}
  [[nodiscard]] const std::string& sqlstate() const noexcept { return sqlstate_; }

 private:
  std::string sqlstate_;
};

}  // namespace millrace
