// The context of a handler that runs without a task.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include <millrace/context.hpp>
#include <millrace/testing/perform.hpp>

#include "postgres/transaction.hpp"

namespace millrace::testing {

/// Writes down in `run` what the handler says and sends.
class BenchRun final : public Context {
 public:
  BenchRun(std::string_view kind, std::string_view args, const PerformOptions& options, Run& run);
  ~BenchRun();
  BenchRun(const BenchRun&) = delete;
  BenchRun& operator=(const BenchRun&) = delete;
  BenchRun(BenchRun&&) = delete;
  BenchRun& operator=(BenchRun&&) = delete;

  [[nodiscard]] TaskId task_id() const noexcept override { return options_.id; }
  [[nodiscard]] std::string_view kind() const noexcept override { return kind_; }
  [[nodiscard]] std::string_view queue() const noexcept override { return options_.queue; }
  [[nodiscard]] std::string_view args() const noexcept override { return args_; }
  [[nodiscard]] int attempt() const noexcept override { return options_.attempt; }
  [[nodiscard]] int max_attempts() const noexcept override { return options_.max_attempts; }
  [[nodiscard]] LeaseId lease() const noexcept override { return options_.lease; }
  [[nodiscard]] std::string_view worker_id() const noexcept override { return options_.worker_id; }
  [[nodiscard]] Time scheduled_at() const override { return options_.scheduled_at.value_or(now_); }
  [[nodiscard]] Time started_at() const override { return options_.started_at.value_or(now_); }
  [[nodiscard]] std::optional<Milliseconds> timeout() const noexcept override { return options_.timeout; }
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept override { return deadline_; }
  [[nodiscard]] std::stop_token stop_token() const noexcept override { return source_.get_token(); }
  [[nodiscard]] pqxx::transaction_base& transaction() override;
  void progress(std::int64_t done, std::int64_t total, std::string_view note) override;
  void log(std::string_view text) override;
  [[nodiscard]] std::optional<std::string> correlation() const override { return options_.correlation; }
  [[nodiscard]] std::optional<std::string> tenant() const override { return options_.tenant; }
  [[nodiscard]] std::optional<std::string> traceparent() const override { return options_.traceparent; }
  [[nodiscard]] std::map<std::string, std::string> metadata() const override { return options_.metadata; }
  [[nodiscard]] EnqueueOptions inherit(EnqueueOptions options) const override;
  Enqueued enqueue(std::string_view kind, std::string_view args, EnqueueOptions options) override;

  /// The handler has ended: commits its transaction, if it has one, or rolls it back. Nothing it left behind may say more.
  void end(bool commit);
  [[nodiscard]] bool timed_out() const noexcept { return timed_out_; }

 private:
  void keep_deadline(const std::stop_token& end);

  std::string_view kind_, args_;
  const PerformOptions& options_;
  Run& run_;
  Time now_;
  std::optional<std::chrono::steady_clock::time_point> deadline_{};
  std::stop_source source_{};
  std::stop_callback<std::function<void()>> outer_;
  std::mutex mutex_{};  // progress() and log() may come from any thread
  std::atomic<bool> timed_out_{false};
  std::unique_ptr<postgres::Connection> link_{};
  std::unique_ptr<postgres::Transaction> transaction_{};
  std::condition_variable_any ended_{};
  std::jthread keeper_{};
};

}  // namespace millrace::testing
