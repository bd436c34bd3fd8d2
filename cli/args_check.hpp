// Args against the schema that a worker registered for their kind.
#pragma once

#include <optional>
#include <string>

#include <millrace/client.hpp>
#include <millrace/json_schema.hpp>

namespace millrace::cli {

/// Reads what is registered of a kind, once. What the library's definitions do for a C++ program: args that no handler would take are
/// told to whoever is about to store them.
class ArgsCheck {
 public:
  ArgsCheck(Client& client, std::string kind);
  /// Throws InvalidArgument("args") if the args do not fit the schema. `where` goes into the message, such as "of line 3 ". What is no
  /// JSON at all passes: the database, or the library, says so.
  void operator()(const std::string& args, const std::string& where = {}) const;

 private:
  std::string kind_;
  std::optional<JsonSchema> schema_{};
};

}  // namespace millrace::cli
