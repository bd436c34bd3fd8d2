#include "support/schema.hpp"

#include "support/wait.hpp"

#include <millrace/migrate.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace millrace::test {
namespace {

void replace(std::string& text, const std::string& from, const std::string& to) {
  std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::logic_error("the mutation does not match the migrations any more: " + from);
  for (; at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

// The mutation check: the engine without one of its rules must fail that rule's test.
std::vector<Migration> migrations_under_test() {
  std::vector<Migration> all = embedded_migrations();
  const char* mutation = std::getenv("MILLRACE_TEST_MUTATION");
  const std::string rule = mutation == nullptr ? "" : mutation;
  for (Migration& one : all) {
    if (rule == "rule1" && one.name == "claim") replace(one.up, "IF got < took THEN", "IF false THEN");
    if (rule == "rule8" && one.name == "settle") {
      replace(one.up, "t.status = 'running' AND t.lease = u.lease AND t.worker = complete.worker", "t.status = 'running'");
    }
    if (rule == "rule11" && one.name == "workers") replace(one.up, "AND l.id <> ALL (named)", "AND false");
    if (rule == "keys" && one.name == "keys") replace(one.up, "EXIT WHEN holder IS NOT NULL;", "EXIT WHEN false;");
    if (rule == "locks" && one.name == "locks") replace(one.up, "l.expires_at > clock() FOR KEY SHARE;", "l.expires_at > clock();");
    if (rule == "rule23" && one.name == "schedules") {
      replace(one.up, "greatest(clock(), old.last_tick)", "clock()");
      replace(one.up, "greatest(clock(), one.last_tick)", "clock()");
    }
  }
  return all;
}

}  // namespace

std::string database_url() {
  if (const char* url = std::getenv("MILLRACE_TEST_DATABASE")) return url;
  const char* file = std::getenv("MILLRACE_TEST_DATABASE_FILE");
  std::string url;
  if (file == nullptr || !std::getline(std::ifstream(file), url)) throw std::runtime_error("MILLRACE_TEST_DATABASE is not set");
  return url;
}

Schema::Schema(std::string url) : url_(std::move(url)) {
  static std::atomic<int> counter{0};
  name_ = fmt::format("test_{}_{}", ::getpid(), counter++);
  Migrator(url_, name_, migrations_under_test()).up();
  link_ = open();
}

Schema::~Schema() {
  link_.reset();
  try {
    postgres::Connection(postgres::Dial{.url = url_}).script(fmt::format("SET lock_timeout = '10s'; DROP SCHEMA {} CASCADE", quoted()));
  } catch (const std::exception& e) {
    fmt::print(stderr, "schema {} was left behind: {}\n", name_, e.what());
  }
}

std::unique_ptr<postgres::Connection> Schema::open() const {
  auto link = std::make_unique<postgres::Connection>(postgres::Dial{.url = url_, .application = "millrace test", .schema = ""});
  link->script(fmt::format("SET search_path = {}, public", quoted()));
  return link;
}

std::string Schema::value(const std::string& sql) {
  const auto rows = link_->run(sql);
  return rows.size() == 0 ? "" : std::string(rows.text(0, 0));
}

std::int64_t Schema::number(const std::string& sql) { return link_->run(sql).integer(0, 0); }

Session::~Session() {
  if (thread_.joinable()) {
    link_->interrupt();
    thread_.join();
  }
}

void Session::start(std::string sql) {
  ended_ = false;
  sqlstate_.clear();
  thread_ = std::thread([this, sql = std::move(sql)] {
    try {
      rows_ = link_->run(sql);
    } catch (const DatabaseError& e) {
      sqlstate_ = e.sqlstate();
    } catch (const std::exception& e) {
      sqlstate_ = e.what();
    }
    ended_ = true;
  });
}

bool Session::blocked(Schema& schema) {
  const std::string look = fmt::format("SELECT cardinality(pg_blocking_pids({}))", pid());
  bool waits = false;
  eventually([&] { return ended_ || (waits = schema.number(look) > 0); });
  return waits;
}

std::string Session::finish() {
  thread_.join();
  return sqlstate_;
}

}  // namespace millrace::test
