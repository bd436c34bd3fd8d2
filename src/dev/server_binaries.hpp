// Where PostgreSQL's own programs are.
#pragma once

#include <filesystem>
#include <optional>

namespace millrace::dev {

/// A folder that holds initdb, postgres, pg_ctl and psql.
struct ServerBinaries {
  std::filesystem::path folder{};
  int major = 0;  ///< The server's major version.
  [[nodiscard]] std::filesystem::path program(const char* name) const { return folder / name; }
};

/// Looks where `pg_config --bindir` says, then in Debian's folders, newest first, then in PATH. With `major`, only that
/// version will do: a data folder can be opened by no other. Throws Error, naming the package to install, if there is none.
[[nodiscard]] ServerBinaries find_server_binaries(std::optional<int> major = {});

}  // namespace millrace::dev
