// Between Database and its Clock.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <millrace/testing/clock.hpp>

namespace millrace::testing {

class Database;

struct Clock::Impl {
  Database* database = nullptr;
  std::mutex mutex{};
  std::optional<Time> frozen{};
  std::chrono::microseconds shift{0};  // to the real time, if it is not frozen

  Time now();
  void apply() const;
  void go_to(Time time);
};

}  // namespace millrace::testing
