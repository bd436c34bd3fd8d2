// What the fault tests look at besides the engine's own word: an audit of every transition, and the lines that the
// handlers left.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

#include "support/schema.hpp"

namespace millrace::test {

/// The value of an environment variable that makes a test longer, or `otherwise`.
[[nodiscard]] int number_from_environment(const char* name, int otherwise);

/// A folder that goes away with the test.
struct Folder {
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  Folder(Folder&&) = delete;
  Folder& operator=(Folder&&) = delete;
  std::filesystem::path path;
};

/// Records every change of a task's status in a table of its own, by a trigger.
void audit(Schema& schema);

/// How many rows `what` (a table or function of the schema, with a condition if need be) has.
[[nodiscard]] std::int64_t count(Schema& schema, const std::string& what);

/// Rescues what the dead left until no lease is there; tells whether that came about.
[[nodiscard]] bool rescued(Schema& schema);

/// The tasks whose handler wrote its last line.
[[nodiscard]] std::set<std::int64_t> ended(const std::filesystem::path& ledger);

}  // namespace millrace::test
