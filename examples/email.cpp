// E-mail with typed results: args that are checked against a schema, errors sorted into those that pass and those that do not,
// and a receipt that whoever enqueued reads back as the type it is.
// Usage: email URL SCHEMA. It needs `millrace --schema SCHEMA migrate up` first.
#include <millrace/millrace.hpp>

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

struct SendEmail {
  std::string to, subject;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SendEmail, to, subject)

struct Receipt {
  std::string message_id;
  int recipients = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Receipt, message_id, recipients)

// It was called "mail" before; tasks of that kind that still wait are run too.
const auto send_email = millrace::Task<SendEmail, Receipt>("send-email", {.queue = "mail", .max_attempts = 5, .timeout = 30s})
                            .with_aliases({"mail"})
                            .with_schema(millrace::JsonSchema(R"({
                              "required": ["to"],
                              "properties": {"to": {"type": "string", "pattern": "^[^@]+@[^@]+$"}}})"));

// What the mail server says.
struct Busy : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct NoSuchUser : std::runtime_error {
  using std::runtime_error::runtime_error;
};

millrace::Outcome<Receipt> deliver(const SendEmail& mail, millrace::Context& context) {
  if (mail.to == "nobody@example.org") throw NoSuchUser("550 no such user");
  if (mail.to == "slow@example.org" && context.attempt() == 1) throw Busy("421 try again");
  if (mail.to == "gone@example.org") return millrace::cancel("unsubscribed");
  return millrace::ok(Receipt{"message-" + std::to_string(context.attempt()), 1});
}

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: email URL SCHEMA\n";
    return 2;
  }
  const millrace::ConnectionString url(argv[1]);
  const std::string schema = argv[2];
  millrace::Client client({.database = url, .schema = schema});
  const millrace::EnqueueOptions here{.schema = schema};

  millrace::Worker worker({.database = url, .schema = schema, .queues = {{.name = "mail", .concurrency = 4}}});
  worker.handle(send_email, deliver, millrace::ExceptionRules().retry_on<Busy>(10ms).give_up_on<NoSuchUser>());
  worker.start();

  for (const char* to : {"ada@example.org", "slow@example.org", "nobody@example.org", "gone@example.org"}) {
    const auto task = send_email.enqueue(client, {.to = to, .subject = "Your mill wheel"}, here);
    const auto ended = client.wait(task.id, 30s);
    std::cout << to << ": " << to_string(ended->status);
    if (const auto receipt = send_email.result(*ended)) std::cout << " as " << receipt->message_id;
    if (ended->status == millrace::Status::failed) std::cout << ", " << ended->errors.back().message;
    if (ended->reason) std::cout << ", " << *ended->reason;
    std::cout << "\n";
  }

  try {
    send_email.enqueue(client, {.to = "ada", .subject = "no address"}, here);
  } catch (const millrace::InvalidArgument& e) {
    std::cout << "refused: " << e.what() << "\n";
  }
  // Somebody who knows the kind, but not the definition: its queue is known all the same.
  std::cout << "queue: " << client.get(client.enqueue("mail", R"({"to": "ada@example.org", "subject": ""})").id)->queue << "\n";
  return worker.stop() ? 0 : 1;
}
