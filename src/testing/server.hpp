// The server that a process makes its test databases on.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <millrace/types.hpp>

#include "dev/cluster.hpp"

namespace millrace::testing {

/// A server given by its address, or a private cluster, which is destroyed with this object. Thread-safe.
class Server {
 public:
  /// The one of this address; none: the process's private cluster, started now if it is the first time. Kept until the process ends.
  [[nodiscard]] static std::shared_ptr<Server> get(const std::optional<ConnectionString>& given);

  explicit Server(std::optional<ConnectionString> given);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  Server(Server&&) = delete;
  Server& operator=(Server&&) = delete;

  /// A fresh database with this schema, migrated. Returns its name.
  [[nodiscard]] std::string create(const std::string& schema);
  void drop(const std::string& database);
  [[nodiscard]] std::string url(const std::string& database) const;

 private:
  void run(const std::string& sql) const;
  [[nodiscard]] std::string fresh_name(const char* what);

  std::optional<ConnectionString> given_;
  std::filesystem::path folder_{};
  std::optional<dev::Cluster> cluster_{};
  int owner_ = 0;  // the process; a child that it forks must not take the server down
  int lock_ = -1;  // held while the process lives: see guard()
  std::mutex mutex_;
  int names_ = 0;
  std::map<std::string, std::string> templates_{};  // by schema
};

}  // namespace millrace::testing
