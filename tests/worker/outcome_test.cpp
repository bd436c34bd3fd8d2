// What a handler says of its run, and what is made of what it throws.
#include "worker/house.hpp"

#include <fmt/format.h>
#include <pqxx/pqxx>

#include <new>
#include <stdexcept>
#include <system_error>

using namespace millrace;
using namespace millrace::test;

namespace {

struct Count {
  int n = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Count, n)

// As std::expected, which this compiler does not have.
template <class T>
class Expected {
 public:
  explicit Expected(T value) : value_(std::move(value)) {}
  explicit Expected(std::error_code error) : error_(error) {}
  [[nodiscard]] bool has_value() const { return !error_; }
  [[nodiscard]] const T& operator*() const { return value_; }
  [[nodiscard]] std::error_code error() const { return error_; }

 private:
  T value_{};
  std::error_code error_{};
};

struct Busy : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Late : Busy {
  using Busy::Busy;
};

const EnqueueOptions twice{.max_attempts = 2, .backoff = fixed(1ms)};

std::string last_error(const TaskRecord& task) { return task.errors.empty() ? "" : task.errors.back().message; }

}  // namespace

TEST_CASE("cancel: a handler ends its task as cancelled, returned or thrown, with its reason") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("return", [](Context&) -> Outcome<std::string> { return cancel("the order was withdrawn"); });
  worker.handle_raw("throw", [](Context&) -> Outcome<std::string> { throw cancel("nobody needs it"); });
  worker.start();
  const auto returned = house.client.enqueue("return").id;
  const auto thrown = house.client.enqueue("throw").id;
  REQUIRE(house.reaches(returned, Status::cancelled));
  REQUIRE(house.reaches(thrown, Status::cancelled));
  const auto record = house.client.get(returned);
  CHECK(record->reason == "the order was withdrawn");
  CHECK(record->errors.empty());
  CHECK_FALSE(record->dead_at.has_value());
  CHECK(record->finished_at.has_value());
  CHECK(house.client.get(thrown)->reason == "nobody needs it");
  CHECK(worker.stop());
  CHECK(worker.counts().cancelled == 2);
  CHECK(worker.counts().failed == 0);
  house.consistent();
}

TEST_CASE("a transaction is rolled back when its handler cancels") {
  House house;
  house.schema.connection().run("CREATE TABLE " + house.schema.quoted() + ".written (n int)");
  Worker worker(house.options());
  worker.handle_raw("write", [&](Context& context) -> Outcome<std::string> {
    context.transaction().exec("INSERT INTO " + house.schema.quoted() + ".written VALUES (1)");
    return cancel("no");
  });
  worker.start();
  const auto id = house.client.enqueue("write").id;
  REQUIRE(house.reaches(id, Status::cancelled));
  CHECK(house.count("written") == 0);
}

TEST_CASE("ok and err: handlers that do not throw") {
  House house;
  Worker worker(house.options());
  const Task<Count, int> doubled("double");
  const Task<Count> nothing_to_return("quiet");
  const Task<Count, int> coded("coded");
  worker.handle(doubled, [](const Count& count, Context&) -> Outcome<int> {
    if (count.n < 0) return err("it is negative");
    return ok(2 * count.n);
  });
  worker.handle(nothing_to_return, [](const Count& count, Context&) -> Outcome<Done> {
    if (count.n < 0) return err(std::make_error_code(std::errc::connection_refused));
    return ok();
  });
  worker.handle(coded, [](const Count& count, Context&) {
    return count.n < 0 ? Expected<int>(std::make_error_code(std::errc::timed_out)) : Expected<int>(count.n);
  });
  worker.start();
  const auto good = doubled.enqueue(house.client, {21}).id;
  const auto bad = doubled.enqueue(house.client, {-1}, twice).id;
  const auto quiet = nothing_to_return.enqueue(house.client, {1}).id;
  const auto loud = nothing_to_return.enqueue(house.client, {-1}, twice).id;
  const auto value = coded.enqueue(house.client, {7}).id;
  const auto error = coded.enqueue(house.client, {-1}, twice).id;
  REQUIRE(house.reaches(good, Status::completed));
  CHECK(doubled.result(*house.client.get(good)) == 42);
  REQUIRE(house.reaches(bad, Status::failed));
  CHECK(house.client.get(bad)->errors.size() == 2);
  CHECK(last_error(*house.client.get(bad)) == "it is negative");
  CHECK(doubled.result(*house.client.get(bad)) == std::nullopt);
  REQUIRE(house.reaches(quiet, Status::completed));
  REQUIRE(house.reaches(loud, Status::failed));
  CHECK(last_error(*house.client.get(loud)) == "Connection refused");
  REQUIRE(house.reaches(value, Status::completed));
  CHECK(coded.result(*house.client.get(value)) == 7);
  REQUIRE(house.reaches(error, Status::failed));
  CHECK(last_error(*house.client.get(error)) == std::make_error_code(std::errc::timed_out).message());
}

TEST_CASE("rules for exceptions: the first that fits decides") {
  House house;
  Worker worker(house.options());
  const Task<Count> task("throws");
  worker.handle(
      task,
      [](const Count& count, Context& context) {
        switch (count.n) {
          case 0: throw std::invalid_argument("no such account");
          case 1:
            if (context.attempt() > 1) return;
            throw Late("the bank is slow");
          case 2: throw std::out_of_range("gone");
          case 3: throw std::runtime_error("status 404");
          case 4: throw std::runtime_error("status 500");
          case 5: throw 7;
          default: throw retry_in(1ms, "its own word");
        }
      },
      ExceptionRules()
          .give_up_on<std::invalid_argument>()
          .retry_on<Busy>(1ms)
          .cancel_on<std::out_of_range>()
          .give_up_on([](const std::exception& e) { return std::string_view(e.what()).ends_with("404"); })
          .give_up_on<int>()
          .give_up_on([](const std::exception&) -> bool { throw std::logic_error("a predicate that throws does not fit"); }));
  worker.start();
  const auto give_up = task.enqueue(house.client, {0}).id;
  const auto retried = task.enqueue(house.client, {1}).id;  // by the policy it would wait for 15 seconds
  const auto cancelled = task.enqueue(house.client, {2}).id;
  const auto by_predicate = task.enqueue(house.client, {3}).id;
  const auto otherwise = task.enqueue(house.client, {4}, twice).id;
  const auto number = task.enqueue(house.client, {5}).id;
  const auto own_word = task.enqueue(house.client, {6}, twice).id;
  REQUIRE(house.reaches(give_up, Status::failed));
  CHECK(house.client.get(give_up)->attempt == 1);
  CHECK(last_error(*house.client.get(give_up)) == "no such account");
  REQUIRE(house.reaches(retried, Status::completed));
  CHECK(last_error(*house.client.get(retried)) == "the bank is slow");
  REQUIRE(house.reaches(cancelled, Status::cancelled));
  CHECK(house.client.get(cancelled)->reason == "gone");
  REQUIRE(house.reaches(by_predicate, Status::failed));
  CHECK(house.client.get(by_predicate)->attempt == 1);
  REQUIRE(house.reaches(otherwise, Status::failed));
  CHECK(house.client.get(otherwise)->attempt == 2);
  REQUIRE(house.reaches(number, Status::failed));
  CHECK(house.client.get(number)->attempt == 1);
  REQUIRE(house.reaches(own_word, Status::failed));
  CHECK(house.client.get(own_word)->attempt == 2);
  house.consistent();
}

TEST_CASE("give_up_otherwise: what no rule fits is a dead letter at once") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("throws", [](Context&) -> Outcome<std::string> { throw std::bad_alloc(); },
                    {.exceptions = ExceptionRules().retry_on<Busy>().give_up_otherwise()});
  worker.handle_raw("busy", [](Context&) -> Outcome<std::string> { throw Busy("busy"); },
                    {.exceptions = ExceptionRules().retry_on<Busy>().give_up_otherwise()});
  worker.start();
  const auto unknown = house.client.enqueue("throws").id;
  const auto busy = house.client.enqueue("busy", "{}", twice).id;
  REQUIRE(house.reaches(unknown, Status::failed));
  CHECK(house.client.get(unknown)->attempt == 1);
  CHECK(last_error(*house.client.get(unknown)) == "std::bad_alloc");
  REQUIRE(house.reaches(busy, Status::failed));
  CHECK(house.client.get(busy)->attempt == 2);
}

TEST_CASE("rules say nothing about a run that was asked to stop") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("stops",
                    [](Context& context) -> Outcome<std::string> {
                      CHECK(eventually([&] { return context.stop_token().stop_requested(); }));
                      throw std::runtime_error("stopped");
                    },
                    {.exceptions = ExceptionRules().give_up_on<std::exception>()});
  worker.start();
  const auto id = house.client.enqueue("stops", "{}", {.max_attempts = 2, .backoff = fixed(1ms), .timeout = 20ms}).id;
  REQUIRE(house.reaches(id, Status::failed));
  CHECK(house.client.get(id)->attempt == 2);
}

TEST_CASE("a delay beyond what a task may have is as long as that") {
  House house;
  Worker worker(house.options());
  worker.handle_raw("retry", [](Context&) -> Outcome<std::string> { return retry_in(Milliseconds::max()); });
  worker.handle_raw("snooze", [](Context&) -> Outcome<std::string> { return snooze(Milliseconds::max()); });
  worker.handle_raw("back", [](Context&) -> Outcome<std::string> { return retry_in(Milliseconds::min()); });
  worker.start();
  const auto retried = house.client.enqueue("retry").id;
  const auto snoozed = house.client.enqueue("snooze").id;
  const auto back = house.client.enqueue("back", "{}", {.max_attempts = 2}).id;
  REQUIRE(house.reaches(retried, Status::retrying));
  REQUIRE(house.reaches(snoozed, Status::scheduled));
  REQUIRE(house.reaches(back, Status::failed));
  CHECK(house.client.get(retried)->run_at > house.client.get(retried)->created_at + std::chrono::years(99));
  CHECK(house.client.get(snoozed)->run_at > house.client.get(snoozed)->created_at + std::chrono::years(99));
  house.consistent();
}

TEST_CASE("an exception without a message is an error like any other") {
  struct Mute : std::exception {
    [[nodiscard]] const char* what() const noexcept override { return nullptr; }
  };
  House house;
  Worker worker(house.options());
  worker.handle_raw("mute", [](Context&) -> Outcome<std::string> { throw Mute(); });
  worker.handle_raw("ruled", [](Context&) -> Outcome<std::string> { throw Mute(); }, {.exceptions = ExceptionRules().give_up_on<Mute>()});
  worker.start();
  for (const char* kind : {"mute", "ruled"}) {
    const auto id = house.client.enqueue(kind, "{}", {.max_attempts = 1}).id;
    REQUIRE(house.reaches(id, Status::failed));
    CHECK(last_error(*house.client.get(id)) == "an exception without a message");
  }
}
