#include "cli/failure.hpp"

#include "cli/app.hpp"
#include "engine/schema_check.hpp"
#include "postgres/connection.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <string_view>

namespace millrace::cli {
namespace {

// The command as far as it was understood, such as "millrace task show".
std::string name_of(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent == nullptr ? app.get_name() : name_of(*parent) + ' ' + app.get_name();
}

const CLI::App& innermost(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : innermost(*parsed.back());
}

// Messages quote what was typed, and somebody may have typed the database's address, password and all, in the wrong place.
// Returns what comes before such a word.
std::string_view until_password(std::string_view message) noexcept {
  std::size_t at = std::min(message.find("password="), message.find("PASSWORD="));
  for (std::size_t slashes = message.find("://"); slashes != std::string_view::npos; slashes = message.find("://", slashes + 3)) {
    const std::size_t end = message.find_first_of("@ ", slashes);
    if (end != std::string_view::npos && message[end] == '@' && message.find(':', slashes + 3) < end) at = std::min(at, slashes);
  }
  if (at == std::string_view::npos) return message;
  return message.substr(0, message.rfind(' ', at) + 1);
}

}  // namespace

int fail(int code, const std::string& message) noexcept {
  const std::string_view shown = until_password(message);
  // Character by character: no memory is needed, and nothing is thrown when standard error is closed.
  std::fputs("millrace: ", stderr);
  for (const char c : shown) std::fputc(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c, stderr);
  std::fputs(shown.size() < message.size() ? "(the rest is not shown: it holds a password)\n" : "\n", stderr);
  return code;
}

int explain_usage(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {
    std::ostringstream help;
    const int code = app.exit(error, help);
    fmt::print("{}", help.str());
    return flush_output(code);
  }
  const CLI::App& command = innermost(app);
  std::string problem = error.what();
  if (command.get_require_subcommand_min() > 0) {
    // CLI11 says that a subcommand is required, also when one was given that there is not.
    const auto words = app.remaining(true);
    if (words.empty() && &command == &app) {
      fmt::print("{}", app.help());
      return flush_output(0);
    }
    problem = words.empty() ? "a command is missing" : fmt::format("there is no command or option {}", words.front());
  }
  return fail(2, fmt::format("{}; try: {} --help", problem, name_of(command)));
}

int explain_connection(const ConnectionError& error) {
  // Only the server knows that it lacks the database, and only in its own language: in others the general hint has to do.
  const std::string message = error.what();
  const std::string_view before = "database \"", after = "\" does not exist";
  if (const std::size_t at = message.rfind(before); at != std::string::npos && message.ends_with(after)) {
    const std::string name = message.substr(at + before.size(), message.size() - at - before.size() - after.size());
    const bool plain =
        std::all_of(name.begin(), name.end(), [](unsigned char c) { return c == '_' || (c < 0x80 && std::isalnum(c) != 0); });
    if (plain) return fail(1, fmt::format("{}; run: createdb {}", message, name));
  }
  return fail(1, message + "; try: millrace dev up, or name a database with --database");
}

int explain_schema(const SchemaError& error, const Globals& globals) {
  try {
    postgres::Connection link(postgres::Dial{.url = globals.url(), .application = "millrace", .schema = globals.schema});
    engine::check_schema(link, globals.schema);
  } catch (const SchemaError& clear) {
    return fail(1, clear.what());
  } catch (const Error&) {
    return fail(1, error.what());
  }
  return fail(1, error.what());
}

int flush_output(int code) noexcept {
  const bool failed_before = std::ferror(stdout) != 0;
  if (std::fflush(stdout) != 0) return fail_output(errno);
  return failed_before ? fail_output(EIO) : code;
}

int fail_output(int error) noexcept {
  if (error == EPIPE) return 1;
  try {
    return fail(1, fmt::format("cannot write to standard output: {}", std::strerror(error)));
  } catch (const std::exception&) {
    return fail(1, "cannot write to standard output");
  }
}

}  // namespace millrace::cli
