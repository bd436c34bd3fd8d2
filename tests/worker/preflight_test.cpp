// Whether a program can read what waits for it, before it is let loose.
#include "worker/house.hpp"

#include <latch>

using namespace millrace;
using namespace millrace::test;

namespace {

struct Mail {
  std::string to{};
  int copies = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Mail, to, copies)
const millrace::Task<Mail> mail{"mail"};

const PreflightKind& of(const std::vector<PreflightKind>& kinds, const std::string& kind) {
  for (const PreflightKind& one : kinds) {
    if (one.kind == kind) return one;
  }
  FAIL("no such kind");
  throw std::logic_error(kind);
}

}  // namespace

TEST_CASE("a preflight reads the args of every live task, changes nothing, and names what it cannot read") {
  House house;
  house.client.enqueue_many("mail", std::vector<std::string>(2500, mail.text({.to = "ada", .copies = 1})));
  const TaskId old = house.client.enqueue("mail", R"({"to": "ada"})", {.priority = Priority::high}).id;
  const TaskId odd = house.client.enqueue("mail", R"({"to": 7, "copies": 1})", {.delay = 1h}).id;
  house.client.enqueue("unknown");
  house.client.enqueue("mail", R"({"nothing": 1})", {.queue = "other"});
  const TaskId gone = house.client.enqueue("mail", "{}").id;
  house.client.cancel(gone);

  Worker worker(house.options());
  worker.handle(mail, [](const Mail&, Context&) {});
  const auto kinds = worker.preflight();
  REQUIRE(kinds.size() == 2);
  const PreflightKind& found = of(kinds, "mail");
  CHECK(found.live == 2502);
  CHECK(found.unreadable == 2);
  CHECK(found.handled);
  REQUIRE(found.examples.size() == 2);
  CHECK((found.examples[0].id == old || found.examples[0].id == odd));
  CHECK(found.examples[0].problem.starts_with("the args cannot be read: "));
  CHECK(of(kinds, "unknown").live == 1);
  CHECK_FALSE(of(kinds, "unknown").handled);
  CHECK(house.count("tasks WHERE status IN ('pending', 'scheduled')") == 2504);
  CHECK(house.count("workers") == 0);
}

TEST_CASE("a preflight sees what runs") {
  House house;
  std::latch go(1);
  Worker running(house.options());
  running.handle_raw("mail", [&](Context&) -> Outcome<std::string> {
    go.wait();
    return std::string{};
  });
  running.start();
  const TaskId id = house.client.enqueue("mail", "{}").id;
  REQUIRE(house.reaches(id, Status::running));
  Worker next(house.options());
  next.handle(mail, [](const Mail&, Context&) {});
  const auto kinds = next.preflight();
  go.count_down();
  REQUIRE(kinds.size() == 1);
  CHECK(kinds[0].unreadable == 1);
  CHECK(kinds[0].examples[0].id == id);
  running.stop();
}
