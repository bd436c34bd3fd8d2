#include "dev/server_binaries.hpp"

#include "dev/run_program.hpp"

#include <millrace/error.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::dev {
namespace {

namespace fs = std::filesystem;

// The first number in `text`, or 0.
int first_number(std::string_view text) {
  const std::size_t at = text.find_first_of("0123456789");
  int number = 0;
  if (at != std::string_view::npos) std::from_chars(text.data() + at, text.data() + text.size(), number);
  return number;
}

bool is_executable(const fs::path& file) { return ::access(file.c_str(), X_OK) == 0; }

std::vector<fs::path> path_folders() {
  const char* text = std::getenv("PATH");
  std::string_view rest = text == nullptr ? "/usr/local/bin:/usr/bin:/bin" : text;
  std::vector<fs::path> folders;
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    // A relative folder would make the choice of program depend on where we happen to be.
    if (one.starts_with('/')) folders.emplace_back(one);
  }
  return folders;
}

std::vector<fs::path> debian_folders() {
  std::vector<fs::path> folders;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) folders.push_back(entry.path() / "bin");
  std::sort(folders.begin(), folders.end(), [](const fs::path& a, const fs::path& b) {
    return first_number(a.parent_path().filename().native()) > first_number(b.parent_path().filename().native());
  });
  return folders;
}

std::vector<fs::path> candidates() {
  const std::vector<fs::path> in_path = path_folders();
  std::vector<fs::path> folders;
  for (const fs::path& folder : in_path) {
    if (!is_executable(folder / "pg_config")) continue;
    const Finished finished = run_program({.argv = {folder / "pg_config", "--bindir"}});
    if (finished.status == 0) folders.emplace_back(finished.out.substr(0, finished.out.find('\n')));
    break;
  }
  for (const auto& more : {debian_folders(), in_path}) folders.insert(folders.end(), more.begin(), more.end());
  return folders;
}

bool holds_all(const fs::path& folder) {
  for (const char* name : {"initdb", "postgres", "pg_ctl", "psql"}) {
    if (!is_executable(folder / name)) return false;
  }
  return true;
}

}  // namespace

ServerBinaries find_server_binaries(std::optional<int> major) {
  for (const fs::path& folder : candidates()) {
    if (!holds_all(folder)) continue;
    const Finished finished = run_program({.argv = {folder / "postgres", "--version"}});
    const int found = finished.status == 0 ? first_number(finished.out) : 0;
    if (found != 0 && (!major || found == *major)) return {.folder = folder, .major = found};
  }
  if (major) {
    throw Error(fmt::format(
        "the server programs of PostgreSQL {0} are not installed, and only they can open the data; try: apt install postgresql-{0}",
        *major));
  }
  throw Error("PostgreSQL's server programs (initdb, postgres) are not installed; try: apt install postgresql");
}

}  // namespace millrace::dev
