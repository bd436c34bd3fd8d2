#include "arena.hpp"

#include "postgres/conninfo.hpp"
#include "postgres/errors.hpp"

#include <millrace/migrate.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace millrace::bench {
namespace {

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

void check_interrupted() {
  if (interrupted != 0) throw Error("interrupted");
}

Link dial(const ConnectionString& database) {
  Link link(PQconnectdb(postgres::keywords(database, {{"application_name", "millrace bench"}}).c_str()), &PQfinish);
  if (PQstatus(link.get()) != CONNECTION_OK) throw ConnectionError(postgres::primary_message(PQerrorMessage(link.get())));
  return link;
}

Rows execute(PGconn* link, const std::string& sql) {
  Rows rows(PQexec(link, sql.c_str()), &PQclear);
  const ExecStatusType status = PQresultStatus(rows.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    const char* state = PQresultErrorField(rows.get(), PG_DIAG_SQLSTATE);
    throw DatabaseError(postgres::primary_message(PQerrorMessage(link)), state == nullptr ? "" : state);
  }
  return rows;
}

Arena::Arena(ConnectionString database) : database_(std::move(database)), schema_(fmt::format("millrace_bench_{}", ::getpid())) {
  std::signal(SIGINT, [](int) { interrupted = 1; });
  link_ = std::make_unique<postgres::Connection>(postgres::Dial{.url = database_, .application = "millrace bench", .schema = schema_});
  Migrator(database_, schema_).up();
}

Arena::~Arena() {
  try {
    postgres::Connection(postgres::Dial{.url = database_, .application = "millrace bench"}).script("DROP SCHEMA " + schema_ + " CASCADE");
  } catch (const std::exception& e) {
    fmt::print(stderr, "the schema {} could not be dropped: {}\n", schema_, e.what());
  }
  std::signal(SIGINT, SIG_DFL);
}

void Arena::clear() { link_->script(fmt::format("TRUNCATE {0}.tasks, {0}.tickets, {0}.leases", schema_)); }

void Arena::fill(int tasks, int args_bytes) {
  check_interrupted();
  clear();
  link_->script(fmt::format(
      "WITH added AS (INSERT INTO {0}.tasks (kind, args) SELECT 'noop', jsonb_build_object('to', 'user@example.com', 'n', i, "
      "'pad', repeat('x', {2})) FROM generate_series(1, {1}) i"
      " RETURNING queue, priority / 25 AS bucket, {0}.kind_hash(kind), run_at, id, ctid) INSERT INTO {0}.tickets SELECT * FROM added",
      schema_, tasks, std::max(0, args_bytes - 50)));
  for (const char* table : {"tasks", "tickets", "leases"}) link_->script(fmt::format("VACUUM ANALYZE {}.{}", schema_, table));
  link_->script("CHECKPOINT");
}

std::int64_t Arena::number(const std::string& sql) { return link_->run(sql).integer(0, 0); }

double median(std::vector<double> figures) { return percentile(std::move(figures), 0.5); }

double percentile(std::vector<double> figures, double part) {
  if (figures.empty()) return 0;
  std::sort(figures.begin(), figures.end());
  const double at = part * static_cast<double>(figures.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, figures.size() - 1);
  return figures[below] + (figures[above] - figures[below]) * (at - static_cast<double>(below));
}

}  // namespace millrace::bench
