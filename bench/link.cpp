#include "link.hpp"

#include <millrace/error.hpp>

namespace millrace::bench {

Link::Link(const std::string& conninfo) : link_(PQconnectdb(conninfo.c_str()), &PQfinish) {
  if (PQstatus(link_.get()) != CONNECTION_OK) throw ConnectionError(std::string("cannot connect: ") + PQerrorMessage(link_.get()));
}

Rows Link::checked(PGresult* result, ExecStatusType also) {
  Rows rows(result);
  const ExecStatusType status = PQresultStatus(result);
  if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == also) return rows;
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  throw DatabaseError(PQerrorMessage(link_.get()), state == nullptr ? "" : state);
}

Rows Link::run(const std::string& sql) { return checked(PQexec(link_.get(), sql.c_str())); }

void Link::prepare(const char* name, const std::string& sql) { checked(PQprepare(link_.get(), name, sql.c_str(), 0, nullptr)); }

Rows Link::execute(const char* name, std::initializer_list<const char*> params) {
  return checked(PQexecPrepared(link_.get(), name, static_cast<int>(params.size()), params.begin(), nullptr, nullptr, 0));
}

void Link::copy(const std::string& sql, const std::string& text) {
  checked(PQexec(link_.get(), sql.c_str()), PGRES_COPY_IN);
  constexpr std::size_t part = 1 << 20;
  bool sent = true;
  for (std::size_t at = 0; sent && at < text.size(); at += part) {
    sent = PQputCopyData(link_.get(), text.data() + at, static_cast<int>(std::min(part, text.size() - at))) == 1;
  }
  if (!sent || PQputCopyEnd(link_.get(), nullptr) != 1) throw ConnectionError(PQerrorMessage(link_.get()));
  checked(PQgetResult(link_.get()));
  while (PGresult* rest = PQgetResult(link_.get())) PQclear(rest);
}

}  // namespace millrace::bench
