// A test program that is killed in the midst: prints where its cluster is, and waits.
#include <millrace/testing.hpp>

#include <unistd.h>

#include <cstdio>

int main() {
  millrace::testing::Database db;
  std::printf("%s\n", db.value("SHOW data_directory").c_str());
  std::fflush(stdout);
  for (;;) ::pause();
}
