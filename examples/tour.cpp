// The five-minute tour of the library: a task is defined once, enqueued in a transaction of the application's own, and
// run by a worker. Usage: tour URL. It needs `millrace migrate up` first.
#include <millrace/millrace.hpp>

#include <pqxx/pqxx>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

struct SendEmail {
  std::string to, subject;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SendEmail, to, subject)

struct Receipt {
  std::string message_id;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Receipt, message_id)

// One definition for both sides: the kind, its types, its defaults.
const millrace::Task<SendEmail, Receipt> send_email{"send-email", {.queue = "mail", .max_attempts = 5, .timeout = 30s}};

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: tour URL\n";
    return 2;
  }
  const std::string url = argv[1];

  // The order and its mail: both or neither.
  pqxx::connection db{url};
  pqxx::work tx{db};
  tx.exec("CREATE TEMP TABLE orders (item text)");
  tx.exec("INSERT INTO orders VALUES ('mill wheel')");
  const auto task = send_email.enqueue(tx, {.to = "ada@example.org", .subject = "Your mill wheel"});
  tx.commit();

  // A worker: here in the same program, usually in one of its own, where it would be run() until SIGTERM.
  millrace::Worker worker{{.database = millrace::ConnectionString(url), .queues = {{.name = "mail", .concurrency = 10}}}};
  worker.handle(send_email, [](const SendEmail& mail, millrace::Context& context) {
    std::cout << "mail to " << mail.to << ", attempt " << context.attempt() << "\n";
    return Receipt{"message-1"};
  });
  worker.start();

  millrace::Client client{{.database = millrace::ConnectionString(url)}};
  const auto ended = client.wait(task.id, 30s);
  if (!ended) {
    std::cerr << "the task did not end within 30 seconds\n";
    return 1;
  }
  std::cout << "task " << task.id.value << " " << to_string(ended->status) << ": " << ended->result.value_or("") << "\n";
  return worker.stop() ? 0 : 1;
}
