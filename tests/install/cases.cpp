// One correct use of the interface, and mistakes that the compiler must find. The build chooses one by its name.
#include <millrace/millrace.hpp>

#include <chrono>
#include <iostream>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;

struct Mail {
  std::string to{};
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Mail, to)

struct Invoice {
  int number = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Invoice, number)

struct Receipt {
  std::string id{};
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Receipt, id)

const millrace::Task<Mail, Receipt> send_mail{"send-mail", {.max_attempts = 3}};
const millrace::Task<Mail> forget_mail{"forget-mail"};

}  // namespace

int main() {
  millrace::Client client;
  millrace::Worker worker{{}};
  const std::vector<Mail> mails(2);
  const std::vector<Invoice> invoices(2);

#if defined(CORRECT)
  worker.handle(send_mail, [](const Mail& mail, millrace::Context&) { return Receipt{mail.to}; });
  worker.handle(forget_mail, [](const Mail&, millrace::Context&) {});
  const millrace::TaskId id = send_mail.enqueue(client, {.to = "ada"}, {.delay = 5s}).id;
  send_mail.enqueue_many(client, std::span<const Mail>(mails));
  client.cancel(id);
  std::cout << millrace::ConnectionString("host=x").redacted();
#elif defined(HANDLER_TAKES_OTHER_ARGS)
  worker.handle(send_mail, [](const Invoice&, millrace::Context&) { return Receipt{}; });
#elif defined(HANDLER_RETURNS_OTHER_RESULT)
  worker.handle(send_mail, [](const Mail&, millrace::Context&) { return Invoice{}; });
#elif defined(HANDLER_RETURNS_NOTHING)
  worker.handle(send_mail, [](const Mail&, millrace::Context&) {});
#elif defined(ENQUEUE_OTHER_ARGS)
  send_mail.enqueue(client, Invoice{1});
#elif defined(ENQUEUE_MANY_OTHER_ARGS)
  send_mail.enqueue_many(client, std::span<const Invoice>(invoices));
#elif defined(DELAY_WITHOUT_UNIT)
  send_mail.enqueue(client, {.to = "ada"}, {.delay = 5});
#elif defined(LEASE_AS_TASK)
  client.cancel(millrace::LeaseId{1});
#elif defined(PRINT_CONNECTION_STRING)
  std::cout << millrace::ConnectionString("password=secret");
#else
#error "no such case"
#endif
}
