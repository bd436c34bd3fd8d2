// The kinds of task that the tests here use, and their database.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>

#include <doctest/doctest.h>

#include <millrace/millrace.hpp>
#include <millrace/testing.hpp>

#include "support/schema.hpp"
#include "support/wait.hpp"

namespace millrace::test {

using namespace std::chrono_literals;
using testing::Database;

struct Mail {
  std::string to{};
  int copies = 1;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Mail, to, copies)

inline const Task<Mail, std::string> send_mail{"send-mail", {.max_attempts = 3, .backoff = fixed(10min, 0)}};
inline const Task<Mail> note_mail{"note-mail", {.queue = "notes"}};

/// On the server of the test run.
struct OnServer : Database {
  OnServer() : Database({.server = database_url()}) {}
};

/// The message of the AssertionFailed that `call` throws; none if it does not.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const testing::AssertionFailed& e) {
    return e.what();
  }
  return "";
}
inline bool holds(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

}  // namespace millrace::test
