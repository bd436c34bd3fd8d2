// migrate_once URL SCHEMA: one migrator as a process that a test can stop and kill. Says "waiting" when another one is
// at work, and at the end how many migrations it applied.
#include <millrace/migrate.hpp>

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    millrace::Migrator migrator(argv[1], argv[2]);
    const int applied = migrator.up({}, [](millrace::MigrationStep step, const millrace::Migration*) {
      if (step == millrace::MigrationStep::waiting) std::puts("waiting");
      std::fflush(stdout);
    });
    std::printf("applied %d\n", applied);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
