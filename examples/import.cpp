// A batch import that tells how far it is. Usage: import URL [SCHEMA]. It needs `millrace migrate up` first.
#include <millrace/millrace.hpp>

#include <pqxx/pqxx>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

using namespace std::chrono_literals;

struct Import {
  std::vector<std::string> lines;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Import, lines)

struct Report {
  int imported = 0;
  int skipped = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Report, imported, skipped)

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: import URL [SCHEMA]\n";
    return 2;
  }
  const std::string url = argv[1];
  const std::string schema = argc > 2 ? argv[2] : "millrace";
  const millrace::Task<Import, Report> import_people{"import-people", {.timeout = 5min}};

  millrace::Worker worker{{.database = url, .schema = schema}};
  worker.handle(import_people, [](const Import& args, millrace::Context& context) {
    Report report;
    const auto total = static_cast<std::int64_t>(args.lines.size());
    for (const std::string& line : args.lines) {
      if (context.stop_token().stop_requested()) throw std::runtime_error("stopped");
      if (line.find('@') == std::string::npos) {
        ++report.skipped;
        context.log("no address: " + line);
      } else {
        ++report.imported;
      }
      context.progress(report.imported + report.skipped, total, line);
    }
    return report;
  });
  worker.start();

  millrace::Client client{{.database = url, .schema = schema}};
  const auto task = import_people.enqueue(client, {.lines = {"ada@example.org", "nobody", "grace@example.org"}});
  const auto ended = client.wait(task.id, 30s);
  if (!ended) {
    std::cerr << "the import did not end within 30 seconds\n";
    return 1;
  }
  std::cout << to_string(ended->status) << " " << ended->result.value_or("null") << "\n";
  const auto progress = client.progress(task.id);
  std::cout << progress->done << " of " << progress->total << ", last: " << progress->note << "\n";
  for (const millrace::LogLine& line : client.logs(task.id)) std::cout << "line " << line.seq << ": " << line.text << "\n";
  return worker.stop() ? 0 : 1;
}
