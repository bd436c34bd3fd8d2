// A schema that lives as long as one benchmark, whichever way that ends.
#pragma once

#include <memory>
#include <string>

#include <millrace/types.hpp>

#include "link.hpp"

namespace millrace::bench {

/// Made by the Migrator, dropped by the destructor, and by SIGINT and SIGTERM: then the process ends with 130.
/// Make it before any other thread, because threads inherit the blocked signals.
class Scratch {
 public:
  explicit Scratch(const ConnectionString& database);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Scratch(Scratch&&) = delete;
  Scratch& operator=(Scratch&&) = delete;

  [[nodiscard]] const std::string& schema() const;    ///< Needs no quotes.
  [[nodiscard]] const std::string& conninfo() const;  ///< For Millrace and libpq alike; names this benchmark's sessions.
  [[nodiscard]] Link& link();
  /// `sql` with every `@` replaced by the schema's name.
  [[nodiscard]] std::string sql(std::string text) const;
  Rows run(const std::string& text) { return link().run(sql(text)); }

  /// Empties tasks, tickets and leases.
  void clear();
  /// Empties the tables and adds `tasks` pending tasks of kind "noop". Their args take about 50 bytes, and with
  /// `padding` so many more that do not compress.
  void fill(int tasks, int padding = 0);
  /// VACUUM ANALYZE and CHECKPOINT.
  void settle();
  /// Waits until no other session of this benchmark is open, so that all have reported their counters.
  void await_quiet();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::bench
