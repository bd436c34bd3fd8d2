// A plain libpq connection: what a ceiling uses, so that it pays for nothing of ours.
#pragma once

#include <libpq-fe.h>

#include <initializer_list>
#include <memory>
#include <string>

namespace millrace::bench {

/// Frees itself. Not thread-safe.
struct Rows {
  explicit Rows(PGresult* result) : rows(result, &PQclear) {}
  [[nodiscard]] int size() const { return PQntuples(rows.get()); }
  [[nodiscard]] const char* text(int row, int column) const { return PQgetvalue(rows.get(), row, column); }
  [[nodiscard]] bool is_null(int row, int column) const { return PQgetisnull(rows.get(), row, column) != 0; }
  std::unique_ptr<PGresult, decltype(&PQclear)> rows;
};

class Link {
 public:
  /// Throws ConnectionError.
  explicit Link(const std::string& conninfo);

  /// Each throws DatabaseError when the server refuses.
  Rows run(const std::string& sql);
  void prepare(const char* name, const std::string& sql);
  Rows execute(const char* name, std::initializer_list<const char*> params);
  /// `COPY … FROM STDIN`, then the whole text.
  void copy(const std::string& sql, const std::string& text);
  [[nodiscard]] PGconn* raw() const { return link_.get(); }

 private:
  Rows checked(PGresult* result, ExecStatusType also = PGRES_COMMAND_OK);
  std::unique_ptr<PGconn, decltype(&PQfinish)> link_;
};

}  // namespace millrace::bench
