// A logger whose lines can be read while the worker writes them.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include "support/wait.hpp"

namespace millrace::test {

class Paper {
 public:
  [[nodiscard]] std::shared_ptr<spdlog::logger> logger() const { return logger_; }
  [[nodiscard]] std::string text() const { return sink_->text(); }
  [[nodiscard]] bool has(const std::string& part) const { return text().find(part) != std::string::npos; }
  /// Waits until it has it.
  [[nodiscard]] bool says(const std::string& part) const {
    return eventually([&] { return has(part); });
  }

 private:
  class Sink final : public spdlog::sinks::base_sink<std::mutex> {
   public:
    [[nodiscard]] std::string text() {
      const std::lock_guard lock(mutex_);
      return text_;
    }

   protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
      text_.append(message.payload.begin(), message.payload.end()) += '\n';
    }
    void flush_() override {}

   private:
    std::string text_;
  };

  std::shared_ptr<Sink> sink_ = std::make_shared<Sink>();
  std::shared_ptr<spdlog::logger> logger_ = std::make_shared<spdlog::logger>("test", sink_);
};

}  // namespace millrace::test
