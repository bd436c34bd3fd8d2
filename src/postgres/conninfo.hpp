// Connection strings, taken apart without ever printing a secret.
#pragma once

#include <map>
#include <string>

#include <millrace/types.hpp>

namespace millrace::postgres {

/// `url` as a keyword string, with `defaults` for every keyword it does not set.
/// Throws InvalidArgument("database") if libpq cannot parse it, without libpq's message: that quotes passwords.
[[nodiscard]] std::string keywords(const ConnectionString& url, const std::map<std::string, std::string>& defaults);

/// The keywords and values that `url` sets itself.
[[nodiscard]] std::map<std::string, std::string> parse(const ConnectionString& url);

}  // namespace millrace::postgres
