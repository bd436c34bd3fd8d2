#include "dev/cluster_files.hpp"

#include <millrace/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace millrace::dev {
namespace {

namespace fs = std::filesystem;

constexpr const char* elsewhere = "/var/lib/millrace-dev";

[[noreturn]] void fail(const char* what, const fs::path& path) {
  throw Error(fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(errno)));
}

// FNV-1a: short enough for a socket's path, the same in every build, and no secret depends on it.
std::string hash_of(const fs::path& folder) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : folder.native() + '\n' + std::to_string(::geteuid())) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return fmt::format("{:016x}", hash);
}

bool is_trusted(const fs::path& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && (about.st_uid == ::geteuid() || about.st_uid == 0);
}

}  // namespace

std::optional<SystemUser> server_user() {
  if (::geteuid() != 0) return {};
  auto user = find_user("postgres");
  if (!user) throw Error("PostgreSQL does not run as root, and there is no user postgres to run it as; run this as an ordinary user");
  return user;
}

ClusterPaths default_paths(const fs::path& folder) {
  return {.folder = folder, .data = folder / ".millrace" / "data", .socket = fs::path("/tmp") / ("millrace-" + hash_of(folder))};
}

fs::path data_elsewhere(const fs::path& folder) { return fs::path(elsewhere) / hash_of(folder); }

std::optional<ClusterPaths> read_record(const fs::path& folder) {
  ClusterPaths paths{.folder = folder};
  if (!is_trusted(paths.record().parent_path()) || !is_trusted(paths.record())) return {};
  std::ifstream file(paths.record());
  const auto record = nlohmann::json::parse(file, nullptr, false);
  const auto text = [&](const char* key) {
    const bool there = record.is_object() && record.contains(key) && record[key].is_string();
    return there ? record[key].get<std::string>() : std::string();
  };
  // The data may be named relative to the record, so that the project's folder can be moved while the server is down.
  paths.data = (paths.record().parent_path() / text("data")).lexically_normal();
  paths.socket = text("socket");
  // destroy() deletes these folders, so nothing else than what up() writes is believed.
  const bool inside = paths.data == folder / ".millrace" / "data";
  const bool outside = paths.data.parent_path() == elsewhere && paths.data.has_filename();
  const bool socket = paths.socket.parent_path() == "/tmp" && paths.socket.filename().native().starts_with("millrace-");
  if ((!inside && !outside) || !socket)
    throw Error(fmt::format("{} is damaged; delete it and run: millrace dev up", paths.record().string()));
  return paths;
}

void write_record(const ClusterPaths& paths) {
  const bool inside = paths.data.parent_path() == paths.record().parent_path();
  const nlohmann::ordered_json record = {{"data", inside ? paths.data.filename().string() : paths.data.string()},
                                         {"socket", paths.socket.string()}};
  write_file(paths.record().parent_path() / ".gitignore", "*\n", {});
  write_file(paths.record(), record.dump(2) + '\n', {});
}

void make_millrace_folder(const fs::path& folder) {
  const fs::path path = folder / ".millrace";
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) fail("make", path);
  if (!is_trusted(path)) throw Error(fmt::format("{} belongs to another user", path.string()));
  // As root, the server's user must pass through it whatever our umask is.
  if (::geteuid() == 0 && ::chmod(path.c_str(), 0755) != 0) fail("open up", path);
}

void make_private_folder(const fs::path& path, const std::optional<SystemUser>& as) {
  const uid_t uid = as ? as->uid : ::geteuid();
  if (!fs::exists(path.parent_path())) {
    fs::create_directories(path.parent_path());
    fs::permissions(path.parent_path(), static_cast<fs::perms>(0755));
  }
  if (::mkdir(path.c_str(), 0700) == 0) {
    if (as && ::chown(path.c_str(), as->uid, as->gid) != 0) fail("hand over", path);
  } else if (errno != EEXIST) {
    fail("make", path);
  }
  // Anybody may have made it before us where everybody may write; never through a symbolic link.
  struct stat about {};
  if (::lstat(path.c_str(), &about) != 0) fail("look at", path);
  if (!S_ISDIR(about.st_mode) || about.st_uid != uid || (about.st_mode & 077) != 0) {
    throw Error(fmt::format("{} is not a folder of user {} alone; remove it", path.string(), uid));
  }
}

bool can_enter(const fs::path& path, const std::optional<SystemUser>& as) {
  return run_program({.argv = {"/usr/bin/test", "-w", path, "-a", "-x", path}, .as = as}).status == 0;
}

void write_file(const fs::path& file, const std::string& text, const std::optional<SystemUser>& as) {
  const fs::path fresh = file.native() + ".new";
  fs::remove(fresh);
  {
    std::ofstream out(fresh, std::ios::binary);
    out << text;
    out.close();
    if (!out) fail("write", fresh);
  }
  if (as && ::chown(fresh.c_str(), as->uid, as->gid) != 0) fail("hand over", fresh);
  fs::rename(fresh, file);
}

FolderLock::FolderLock(const fs::path& folder) : fd_(-1) {
  const fs::path file = folder / ".millrace" / "lock";
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd_ < 0) fail("open", file);
  while (::flock(fd_, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    ::close(fd_);
    fail("lock", file);
  }
}

FolderLock::~FolderLock() { ::close(fd_); }

}  // namespace millrace::dev
