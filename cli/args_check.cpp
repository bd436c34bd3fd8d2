#include "cli/args_check.hpp"

#include "base/json_text.hpp"

#include <fmt/format.h>

#include <utility>

namespace millrace::cli {

ArgsCheck::ArgsCheck(Client& client, std::string kind) : kind_(std::move(kind)) {
  const auto declared = client.kinds(kind_);
  if (!declared.empty() && declared[0].schema) schema_.emplace(*declared[0].schema);
}

void ArgsCheck::operator()(const std::string& args, const std::string& where) const {
  if (!schema_ || !base::is_json(args)) return;
  if (const auto problem = schema_->problem(args))
    throw InvalidArgument("args",
                          fmt::format("{}do not fit the schema of {}: {}; see millrace kind show {}", where, kind_, *problem, kind_));
}

}  // namespace millrace::cli
