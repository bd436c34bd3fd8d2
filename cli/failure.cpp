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
#include <vector>

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

// Fields of the library whose option has another name; all others are called alike but for -- and _.
struct Renamed {
  std::string_view field, option;
};
constexpr Renamed renamed[] = {{"queues", "--queue"},       {"queues.concurrency", "--queue"},
                               {"poll_interval", "--poll"}, {"run_at", "--at"},
                               {"run_at", "--delay"},       {"backoff", "--retry"},
                               {"backoff.base", "--retry"}, {"backoff.cap", "--retry"},
                               {"unique_by", "--unique"},   {"tags", "--tag"},
                               {"metadata", "--meta"}};

// The option of the command that a field was typed with, or without `given` can be; none if there is none.
std::string option_of(const CLI::App& command, const std::string& field, bool given = true) {
  std::vector<std::string> candidates;
  for (const Renamed& one : renamed) {
    if (one.field == field) candidates.emplace_back(one.option);
  }
  std::string same = "--" + field;
  std::replace(same.begin(), same.end(), '_', '-');
  candidates.push_back(std::move(same));
  std::string known;
  for (std::string& one : candidates) {
    const CLI::Option* option = command.get_option_no_throw(one);
    if (option == nullptr) continue;
    if (given && option->count() > 0) return one;
    if (known.empty()) known = one;
  }
  return known;
}

// The names of fields in what is said of one, such as "needs unique_key or unique_by". What is quoted was typed, and stays.
std::string with_options(const CLI::App& command, std::string_view problem) {
  std::string text;
  bool quoted = false;
  for (std::size_t at = 0; at < problem.size();) {
    const auto part_of_name = [&](std::size_t i) {
      return i < problem.size() && (problem[i] == '_' || std::isalnum(static_cast<unsigned char>(problem[i])) != 0);
    };
    if (quoted || !part_of_name(at)) {
      quoted ^= problem[at] == '"';
      text += problem[at++];
      continue;
    }
    std::size_t end = at;
    while (part_of_name(end)) ++end;
    const std::string word(problem.substr(at, end - at));
    // Plain words are taken for what they are, but where only a field can stand.
    const bool field =
        word.find('_') != std::string::npos || text.ends_with("needs ") || text.ends_with(" with ") || text.ends_with(" or ");
    const std::string option = field ? option_of(command, word, false) : std::string();
    text += option.empty() ? word : option;
    at = end;
  }
  return text;
}

// What CLI11 says, as everything else here is said.
std::string usage_problem(const CLI::App& app, const CLI::App& command, const CLI::ParseError& error) {
  std::string said = error.what();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const auto words = app.remaining(true);
    const auto option = std::find_if(words.begin(), words.end(), [](const std::string& word) { return word.starts_with('-'); });
    if (option != words.end()) return "there is no option " + option->substr(0, option->find('='));
    const bool has_commands = !command.get_subcommands([](const CLI::App*) { return true; }).empty();
    if (!words.empty() && has_commands) return "there is no command or option " + words.front();
    if (!words.empty()) return words.front() + " is one argument too many";
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && said.find(" missing") != std::string::npos)
    return said.substr(0, said.find(':')) + " needs a value";
  return said;
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
  std::string problem = usage_problem(app, command, error);
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

int explain_input(const CLI::App& app, const InvalidArgument& error) {
  const CLI::App& command = innermost(app);
  const std::string message = error.what();
  const std::string option = option_of(command, error.field());
  const std::string rest = message.substr(std::min(error.field().size(), message.size()));
  return fail(2, (option.empty() ? error.field() : option) + with_options(command, rest));
}

int explain_missing(const NotFound& error) {
  std::string message = error.what();
  if (message.find("; ") == std::string::npos) {
    if (message.starts_with("there is no task ")) message += "; millrace task list shows the latest";
    if (message.starts_with("there is no schedule ")) message += "; millrace schedule list shows all";
    if (message.starts_with("there is no worker ")) message += "; millrace worker list shows those that are here";
  }
  return fail(3, message);
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
