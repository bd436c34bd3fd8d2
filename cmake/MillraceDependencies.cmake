# What Millrace links, all of it from the distribution. Debian has no CMake configuration for libpqxx, so it comes
# through pkg-config. The installed package configuration includes this file too.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
pkg_check_modules(millrace_pqxx REQUIRED IMPORTED_TARGET GLOBAL libpqxx)
pkg_check_modules(millrace_pq REQUIRED IMPORTED_TARGET GLOBAL libpq)
