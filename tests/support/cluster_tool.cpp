// Starts and destroys the private cluster of a test run: `cluster_tool up|down FOLDER`. The address goes to FOLDER/url.
#include "dev/cluster.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::filesystem::path folder = argv[2];
  try {
    std::filesystem::create_directories(folder);
    auto cluster = millrace::dev::Cluster::in(folder);
    if (std::string(argv[1]) == "down") {
      cluster.destroy();
      std::filesystem::remove_all(folder);
      return 0;
    }
    cluster.up(
        millrace::dev::Cluster::Settings{{"max_connections", "200"}, {"max_prepared_transactions", "10"}, {"shared_buffers", "256MB"}});
    std::ofstream(folder / "url") << cluster.url().reveal() << '\n';
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "cluster_tool: {}\n", e.what());
    return 1;
  }
}
