// Changes of many tasks: the plan, the question, and what became of it.
#pragma once

#include <optional>

#include <millrace/manage.hpp>

#include "cli/app.hpp"

namespace millrace::cli {

struct BulkCall {
  Action action{};
  std::optional<Priority> priority{};  ///< reprioritise
  std::optional<Time> run_at{};        ///< reschedule
  bool plan = false;                   ///< Only tell what would happen.
  bool yes = false;                    ///< Do not ask.
};

/// Adds --plan and --yes.
void add_bulk_options(CLI::App& command, BulkCall& call);

/// Throws InvalidArgument if both --plan and --yes are given, which contradict each other.
void check_plan(const BulkCall& call);
/// The same, and if neither is given and there is no terminal to ask at. To be called when all that was typed has been read.
void check_can_ask(const BulkCall& call);
/// Tells what would happen, or asks unless it may not, does it and tells what was done. Exit{1} if the answer is no.
void run_bulk(const Globals& globals, const BulkCall& call, const TaskFilter& filter);

}  // namespace millrace::cli
