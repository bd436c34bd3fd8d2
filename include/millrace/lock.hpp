// Named locks that expire unless they are extended, with fencing tokens. docs/locks.md tells what they promise and what not.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <millrace/types.hpp>

namespace pqxx {
class transaction_base;
}

namespace millrace {

struct ClientOptions;

/// Each acquisition gets a token greater than all before it. What a lock protects is to be written only by whoever shows the
/// newest: see assert_lock().
struct LockToken {
  std::int64_t value = 0;
  auto operator<=>(const LockToken&) const = default;
};

/// A lock that is held.
struct LockRecord {
  std::string name{};
  std::string owner{};
  LockToken token{};
  Time acquired_at{};
  Time expires_at{};
};

/// The answer to acquire_lock().
struct LockAttempt {
  std::optional<LockToken> token{};    ///< None: somebody else has it.
  std::optional<std::string> owner{};  ///< Who has it now; none if that cannot be seen yet.
  std::optional<Time> expires_at{};    ///< When that one's hold, or ours, expires unless it is extended.
  [[nodiscard]] bool acquired() const noexcept { return token.has_value(); }
};

// Within the caller's transaction, as thread-safe as that is. Names and owners have 1 to 128 bytes, a ttl is 1 second to 1 day and
// counts from when the transaction began, by the database's clock. All throw InvalidArgument("name", "owner" or "ttl") before anything
// is sent, and DatabaseError or SchemaError for what the database refuses: 55P03 if another transaction holds the lock's row for over 2
// seconds, above READ COMMITTED 40001; repeat the transaction then.

/// Takes the lock if nobody holds it; it is held once `tx` commits. Who holds it already extends it and gets the same token.
LockAttempt acquire_lock(pqxx::transaction_base& tx, std::string_view name, std::string_view owner, Milliseconds ttl,
                         std::string_view schema = "millrace");
/// Puts off its expiry to `ttl` from now, if that is later, and returns it. Throws LeaseLost if it is not held with this token any more.
Time extend_lock(pqxx::transaction_base& tx, std::string_view name, LockToken token, Milliseconds ttl,
                 std::string_view schema = "millrace");
/// Lets others acquire it. Returns whether it was still held; false changes nothing for whoever holds it now.
bool release_lock(pqxx::transaction_base& tx, std::string_view name, LockToken token, std::string_view schema = "millrace");
/// Who holds it, or none. It may have changed when you read it.
[[nodiscard]] std::optional<LockRecord> lock_holder(pqxx::transaction_base& tx, std::string_view name,
                                                    std::string_view schema = "millrace");
/// For a transaction that writes what the lock protects: throws LeaseLost unless it is held with this token; then nobody else can
/// acquire it until `tx` has ended, also if it expires meanwhile. It can be extended meanwhile, as Lock does.
void assert_lock(pqxx::transaction_base& tx, std::string_view name, LockToken token, std::string_view schema = "millrace");

struct LockOptions {
  std::string owner{};       ///< Who has it, for people; equal owners share a lock. 1 to 128 bytes; default: unique to each Lock.
  Milliseconds ttl{30'000};  ///< How long the lock outlives a holder that dies; 1 second to 1 day.
  Milliseconds wait{0};      ///< How long to try; 0 (once) to 365 days. Tries after 10 ms, and ever more seldom, up to four times a second.
};

/// A lock that is held and extended, three times per ttl, by threads and a connection of its own, until it is released, lost or destroyed.
///
/// It is lost when the database says so, or when it could not be extended for nine tenths of its ttl, by this host's steady clock
/// since the last extension was asked for. A last tenth is left for its holder to stop in. That is all that a lease can do: a process
/// that is suspended, or does not look at stop_token(), goes on after the lock is somebody else's. What must never be written by two
/// needs assert_lock() in the transaction that writes it.
///
/// All members but the destructor and assignment may be called from any thread.
class Lock {
 public:
  /// Acquires it; none if somebody else has it still when `options.wait` is over. Throws InvalidArgument("name", "owner", "ttl", "wait"),
  /// ConnectionError, OutcomeUnknown (then it may be held until it expires), SchemaError, DatabaseError.
  /// `database.connect_timeout` holds for each connection; with `database.listen` false they keep no session state.
  [[nodiscard]] static std::optional<Lock> acquire(const ClientOptions& database, std::string_view name, const LockOptions& options = {});

  /// As release(), but it throws nothing. It waits for a statement under way, on a broken network up to 20 seconds.
  ~Lock();
  Lock(Lock&& other) noexcept;
  /// Releases what it held before.
  Lock& operator=(Lock&& other) noexcept;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] const std::string& owner() const noexcept;
  [[nodiscard]] LockToken token() const noexcept;
  /// Whether it is held, as far as is known here: neither lost nor released.
  [[nodiscard]] bool held() const noexcept;
  /// Stops when the lock is lost; not when it is released. Its callbacks run on a thread of the lock, and must neither destroy nor
  /// release it.
  [[nodiscard]] std::stop_token stop_token() const noexcept;
  /// Ends the extensions and releases it. Returns whether it was held until now; false also when it is called again, and if the
  /// database cannot be reached: then it expires by itself. So it does when this throws: DatabaseError 55P03 if a transaction that
  /// asserted it stays open for 2 more seconds.
  bool release();

 private:
  struct Impl;
  explicit Lock(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace
