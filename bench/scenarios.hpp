// The scenarios of `millrace bench`. Each runs in a schema of its own and reports one line per measured system.
#pragma once

#include <millrace/types.hpp>

namespace millrace::bench {

struct Options {
  int tasks = 0;
  int rounds = 5;
  int args_bytes = 50;
  bool json = false;
};

void drain(const ConnectionString& database, const Options& options);
void pinned(const ConnectionString& database, const Options& options);
void backlog(const ConnectionString& database, const Options& options);
void enqueue(const ConnectionString& database, const Options& options);
void wake(const ConnectionString& database, const Options& options);

}  // namespace millrace::bench
