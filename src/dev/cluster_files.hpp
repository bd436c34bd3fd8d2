// The files and folders of a private cluster: who owns them, where they go, what is in them.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "dev/cluster.hpp"
#include "dev/run_program.hpp"

namespace millrace::dev {

/// The user to run the server as: `postgres` if we are root, otherwise ourselves (none). Throws Error if we are root
/// and there is no such user.
[[nodiscard]] std::optional<SystemUser> server_user();

/// Where the cluster of `folder` goes by default.
[[nodiscard]] ClusterPaths default_paths(const std::filesystem::path& folder);
/// Where the data goes when the server's user cannot enter `folder`.
[[nodiscard]] std::filesystem::path data_elsewhere(const std::filesystem::path& folder);

/// What .millrace/cluster.json in `folder` says; none if there is none, or if it belongs to neither us nor root.
/// Throws Error if it cannot be understood.
[[nodiscard]] std::optional<ClusterPaths> read_record(const std::filesystem::path& folder);
void write_record(const ClusterPaths& paths);

/// Makes .millrace in `folder`. Throws Error if somebody else's is there.
void make_millrace_folder(const std::filesystem::path& folder);
/// Makes `path`, with its parents, a folder that only `as` (none: we) can enter, or sees that it is one.
/// Throws Error if it belongs to somebody else.
void make_private_folder(const std::filesystem::path& path, const std::optional<SystemUser>& as);
/// Whether `as` can reach and write into the existing folder `path`.
[[nodiscard]] bool can_enter(const std::filesystem::path& path, const std::optional<SystemUser>& as);

/// Writes `text` to `file` at once and whole, owned by `as`.
void write_file(const std::filesystem::path& file, const std::string& text, const std::optional<SystemUser>& as);

/// Holds .millrace/lock while it lives; waits for it.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

}  // namespace millrace::dev
