// How a command that failed says so: one line on standard error, and an exit code.
#pragma once

#include <string>

#include <millrace/error.hpp>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace millrace::cli {

struct Globals;

/// Prints "millrace: message" as one line, whatever the message quotes, and returns `code`. Never throws.
int fail(int code, const std::string& message) noexcept;

/// Prints help for a command line that asks for it or that is empty, otherwise what is wrong with it. Returns the exit code.
int explain_usage(const CLI::App& app, const CLI::ParseError& error);

/// Says what is wrong with a value, by the option that it was typed with. Returns the exit code.
int explain_input(const CLI::App& app, const InvalidArgument& error);

/// Says what there is not and, where the message does not, which command lists what there is. Returns the exit code.
int explain_missing(const NotFound& error);

/// Says why the database cannot be used and what to run.
int explain_connection(const ConnectionError& error);
/// Says what the schema lacks, which the statement that failed cannot know, and what to run.
int explain_schema(const SchemaError& error, const Globals& globals);

/// Writes out what was printed; if that fails the command has failed, whatever it did.
int flush_output(int code) noexcept;
/// The exit code of a command whose output could not be written. Silent if its reader just went away.
int fail_output(int error) noexcept;

}  // namespace millrace::cli
