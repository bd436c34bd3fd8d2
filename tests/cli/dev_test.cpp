// millrace dev: a private PostgreSQL in a folder.
#include "cli/command.hpp"

#include <doctest/doctest.h>

#include <exception>
#include <filesystem>
#include <string>

#include <unistd.h>

using namespace millrace::test;

namespace {

// A project's folder, with its cluster until the test ends.
class Project {
 public:
  Project() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-dev-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    std::filesystem::create_directory(folder_ / "below");
  }
  ~Project() {
    try {
      static_cast<void>(in("", {"dev", "down", "--destroy"}));
    } catch (const std::exception& e) {
      MESSAGE("a cluster was left behind: " << e.what());
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Project(const Project&) = delete;
  Project& operator=(const Project&) = delete;
  Project(Project&&) = delete;
  Project& operator=(Project&&) = delete;

  // Runs there, without any address but the folder's own.
  [[nodiscard]] Ended in(const char* below, const Words& arguments, const std::string& input = {}) const {
    return run_plain(arguments, {.input = input, .folder = (folder_ / below).string(), .environment = {"MILLRACE_DATABASE="}});
  }

 private:
  std::filesystem::path folder_{};
};

}  // namespace

TEST_CASE("without a dev cluster its commands say how to get one") {
  Project project;
  for (const Words& words : {Words{"dev", "down"}, Words{"dev", "status"}, Words{"dev", "url"}, Words{"dev", "psql"}}) {
    CAPTURE(words[1]);
    check_refused(project.in("", words), 3, "run: millrace dev up");
  }
}

TEST_CASE("a dev cluster serves every command below its folder") {
  Project project;
  REQUIRE(project.in("", {"dev", "up"}).code == 0);
  CHECK(project.in("below", {"migrate", "up"}).code == 0);
  CHECK(project.in("below", {"enqueue", "greet"}).code == 0);
  CHECK(project.in("below", {"dev", "status"}).out.starts_with("runs"));
  const Ended url = project.in("", {"dev", "url"});
  CHECK(url.out.starts_with("postgresql://"));
  CHECK(nlohmann::json::parse(project.in("", {"dev", "url", "--json"}).out)["url"].get<std::string>() + "\n" == url.out);

  // psql gets its arguments as they are, brackets, dashes and all.
  for (const Words& words : {Words{"dev", "psql", "--", "-Atc", "SELECT kind FROM millrace.tasks"},
                             Words{"dev", "psql", "-Atc", "SELECT kind FROM millrace.tasks"},
                             Words{"dev", "psql", "--no-align", "--tuples-only", "--command", "SELECT kind FROM millrace.tasks"},
                             Words{"--json", "dev", "psql", "--", "-At", "-c", "SELECT kind FROM millrace.tasks"}}) {
    const Ended ended = project.in("below", words);
    INFO(ended.err);
    CHECK(ended.code == 0);
    CHECK(ended.out == "greet\n");
  }
  CHECK(project.in("", {"dev", "psql", "--", "-At", "-v", "a=[1,2]", "-c", "SELECT '[a,b]'"}).out == "[a,b]\n");
  CHECK(project.in("", {"dev", "psql", "-c", "nonsense"}).code == 1);
  CHECK(project.in("", {"dev", "psql", "--", "--help"}).out.find("psql is the PostgreSQL") != std::string::npos);

  CHECK(project.in("", {"dev", "down"}).out == "stopped\n");
  check_refused(project.in("below", {"dev", "psql"}), 4, "run: millrace dev up");
  CHECK(project.in("", {"dev", "up"}).code == 0);
  CHECK(project.in("", {"task", "list", "--json"}).out.find("greet") != std::string::npos);
}

TEST_CASE("what migrate print prints does in psql what migrate up does") {
  Project project;
  REQUIRE(project.in("", {"dev", "up"}).code == 0);
  const Ended printed = project.in("", {"--schema", "it's \"here\"", "migrate", "print"});
  REQUIRE(printed.code == 0);
  const Ended ran = project.in("", {"dev", "psql", "--", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"}, printed.out);
  INFO(ran.err);
  CHECK(ran.code == 0);
  CHECK(project.in("", {"--schema", "it's \"here\"", "migrate", "up"}).out.find("applied") == std::string::npos);
  CHECK(project.in("", {"--schema", "it's \"here\"", "enqueue", "greet"}).code == 0);
}
