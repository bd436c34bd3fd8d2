// `millrace dev`: a private PostgreSQL cluster in ./.millrace, found from any folder below, as git finds .git.
#pragma once

#include <millrace/types.hpp>

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "dev/server_process.hpp"

namespace millrace::dev {

struct ClusterPaths {
  std::filesystem::path folder{};  ///< The project's folder, which holds .millrace.
  std::filesystem::path data{};    ///< PostgreSQL's data folder.
  std::filesystem::path socket{};  ///< The folder of its unix socket, open to the server's user alone.
  [[nodiscard]] std::filesystem::path record() const { return folder / ".millrace" / "cluster.json"; }
};

struct ClusterStatus {
  bool exists = false;  ///< up() has made it.
  bool running = false;
  pid_t pid = 0;
};

/// One cluster. It listens on a unix socket only, in a folder of its own, so it meets no other cluster; it has a
/// superuser `millrace` and a database `millrace`, UTF-8. It is as durable as any (fsync is on).
/// Any number of processes may use it and call up() at once.
class Cluster {
 public:
  using Settings = std::map<std::string, std::string>;

  /// The cluster made in `start` or the nearest folder above it. One that belongs to neither us nor root is passed over.
  [[nodiscard]] static std::optional<Cluster> find(const std::filesystem::path& start);
  /// The cluster of exactly this folder, to be made by up() if it does not exist yet.
  [[nodiscard]] static Cluster in(const std::filesystem::path& folder);

  /// Makes the cluster if need be and starts it if it does not run. `settings` (none: as before) replace its PostgreSQL
  /// settings at its next start. Returns whether it was started now. As root everything is done as the user
  /// `postgres`; if that user cannot enter the folder, the data is in /var/lib/millrace-dev. Throws Error.
  bool up(const std::optional<Settings>& settings = {});
  /// Stops it. Returns whether it ran.
  bool down(Stop how = Stop::fast);
  /// Stops it and deletes it with all its data.
  void destroy();

  [[nodiscard]] ClusterStatus status() const;
  /// The address of its database, for this library and everything else that speaks libpq's URIs.
  [[nodiscard]] ConnectionString url() const;
  [[nodiscard]] const ClusterPaths& paths() const noexcept { return paths_; }

 private:
  explicit Cluster(ClusterPaths paths) : paths_(std::move(paths)) {}
  void make(const std::optional<SystemUser>& as);
  [[nodiscard]] ServerProcess server() const { return {paths_.data, paths_.socket}; }
  ClusterPaths paths_;
};

}  // namespace millrace::dev
