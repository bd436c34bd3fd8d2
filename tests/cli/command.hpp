// The real command, as a process of the test.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/schema.hpp"

namespace millrace::test {

using Words = std::vector<std::string>;

/// The password in the database's address. The server ignores it; no output of the command may show it.
inline constexpr const char* password = "s3cr3t-0f-7h3-7357";
/// The suite's database, with that password in its address.
[[nodiscard]] std::string url_with_password();

struct Ended {
  int code = 0;  ///< The exit status, or 128 + the signal that ended it.
  std::string out{};
  std::string err{};
};

/// How a process is started, apart from its arguments.
struct Start {
  std::string input{};          ///< Its standard input.
  std::string folder = "/";     ///< Where it runs: by default where no dev cluster is found.
  Words environment{};          ///< NAME=VALUE, in addition to MILLRACE_DATABASE and before the test's own variables.
  std::optional<int> output{};  ///< Its standard output; -1: closed. Default: kept for Ended.
  std::optional<int> error{};   ///< Its standard error; likewise.
  std::vector<int> ignored{};   ///< Signals that its parent ignores, and so it does.
};

/// One run of `millrace`. Killed when the test lets go of it.
class Command {
 public:
  explicit Command(const Words& arguments, const Start& start = {});
  ~Command();
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  Command(Command&&) = delete;
  Command& operator=(Command&&) = delete;

  void signal(int number) const;
  /// Waits until its standard error holds `text`.
  [[nodiscard]] bool says(std::string_view text) const;
  /// Waits for its end, and checks that nothing it said shows the password.
  [[nodiscard]] Ended wait();

 private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;
};

/// Runs it to its end.
[[nodiscard]] Ended run_plain(const Words& arguments, const Start& start = {});
/// The same with --schema and, in `run_json`, --json.
[[nodiscard]] Ended run(const Schema& schema, const Words& arguments, const Start& start = {});
/// Requires success and returns the one JSON document that it printed.
[[nodiscard]] nlohmann::json run_json(const Schema& schema, const Words& arguments, const Start& start = {});
/// Requires success and returns the JSON documents that it printed, one per line.
[[nodiscard]] std::vector<nlohmann::json> run_lines(const Schema& schema, const Words& arguments, const Start& start = {});
/// Enqueues and returns the task's id.
std::string enqueue(const Schema& schema, const Words& arguments, const Start& start = {});

/// Checks that it ended with this code, said nothing on stdout and exactly one line on stderr, which holds `part`.
void check_refused(const Ended& ended, int code, std::string_view part = {});

}  // namespace millrace::test
