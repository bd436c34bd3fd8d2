// Typed definitions: a kind of task, its args, its result and its defaults, in one place for both sides.
#pragma once

#include <concepts>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <millrace/client.hpp>
#include <millrace/context.hpp>
#include <millrace/enqueue.hpp>
#include <millrace/outcome.hpp>

namespace millrace {

/// A kind of task. `Args` and `Result` convert to and from nlohmann::json, Args to a JSON object; Result may be void.
/// `defaults` are used for every option that an enqueue leaves unset. Immutable, so safe to share between threads.
template <class Args, class Result = void>
class Task {
 public:
  explicit Task(std::string kind, EnqueueOptions defaults = {}) : kind_(std::move(kind)), defaults_(std::move(defaults)) {}

  [[nodiscard]] const std::string& kind() const noexcept { return kind_; }
  [[nodiscard]] const EnqueueOptions& defaults() const noexcept { return defaults_; }

  /// Adds a task within `tx`. Throws as millrace::enqueue does.
  Enqueued enqueue(pqxx::transaction_base& tx, const Args& args, EnqueueOptions options = {}) const {
    return millrace::enqueue(tx, kind_, text(args), merged(std::move(options)));
  }
  /// Adds a task in a transaction of its own.
  Enqueued enqueue(Client& client, const Args& args, EnqueueOptions options = {}) const {
    return client.enqueue(kind_, text(args), merged(std::move(options)));
  }
  /// Adds many tasks, all or none, and returns their ids in the same order.
  std::vector<TaskId> enqueue_many(pqxx::transaction_base& tx, std::span<const Args> args, EnqueueOptions options = {}) const {
    return millrace::enqueue_many(tx, kind_, texts(args), merged(std::move(options)));
  }
  std::vector<TaskId> enqueue_many(Client& client, std::span<const Args> args, EnqueueOptions options = {}) const {
    return client.enqueue_many(kind_, texts(args), merged(std::move(options)));
  }

  /// The args as JSON text. Throws InvalidArgument if they cannot be written.
  [[nodiscard]] static std::string text(const Args& args) {
    try {
      return nlohmann::json(args).dump();
    } catch (const nlohmann::json::exception& e) {
      throw InvalidArgument("args", std::string("cannot be written as JSON: ") + e.what());
    }
  }
  /// These options, with the definition's defaults where they are unset.
  [[nodiscard]] EnqueueOptions merged(EnqueueOptions options) const {
    const auto fill = [](auto& to, const auto& from) {
      if (!to) to = from;
    };
    fill(options.queue, defaults_.queue);
    fill(options.priority, defaults_.priority);
    if (!options.run_at) fill(options.delay, defaults_.delay);
    fill(options.max_attempts, defaults_.max_attempts);
    fill(options.backoff, defaults_.backoff);
    fill(options.timeout, defaults_.timeout);
    if (options.schema == "millrace") options.schema = defaults_.schema;
    return options;
  }

  /// The handler on the level of JSON text, as Worker runs it.
  template <class Handler>
  [[nodiscard]] std::function<Outcome<std::string>(Context&)> wrap(Handler handler) const {
    constexpr bool transactional = std::is_invocable_v<Handler&, const Args&, pqxx::transaction_base&, Context&>;
    static_assert(transactional || std::is_invocable_v<Handler&, const Args&, Context&>,
                  "the handler must take the task's args and a Context&, or its args, a pqxx::transaction_base& and a Context&");
    return [handler = std::move(handler)](Context& context) mutable -> Outcome<std::string> {
      const Args args = read(context.args());
      const auto call = [&] {
        if constexpr (transactional) {
          return handler(args, context.transaction(), context);
        } else {
          return handler(args, context);
        }
      };
      using Returned = decltype(call());
      if constexpr (std::is_void_v<Returned>) {
        static_assert(std::is_void_v<Result>, "this task has a result: the handler must return it");
        call();
        return std::string{};
      } else if constexpr (requires(Returned r) { std::move(r).state(); }) {
        auto state = std::move(call()).state();
        switch (state.index()) {
          case 1: return std::get<1>(std::move(state));
          case 2: return std::get<2>(std::move(state));
          case 3: return std::get<3>(std::move(state));
          default: return written(std::get<0>(std::move(state)));
        }
      } else {
        return written(call());
      }
    };
  }

 private:
  template <class Value>
  static std::string written(const Value& value) {
    if constexpr (std::is_same_v<Value, Done>) {
      static_assert(std::is_void_v<Result>, "this task has a result: the handler must return it");
      return {};
    } else {
      static_assert(std::is_convertible_v<Value, Result>, "the handler must return the task's result");
      return nlohmann::json(static_cast<Result>(value)).dump();
    }
  }
  static Args read(std::string_view text) {
    try {
      return nlohmann::json::parse(text).template get<Args>();
    } catch (const nlohmann::json::exception& e) {
      throw Fail{std::string("the args cannot be read: ") + e.what()};
    }
  }
  static std::vector<std::string> texts(std::span<const Args> args) {
    std::vector<std::string> all;
    all.reserve(args.size());
    for (const Args& one : args) all.push_back(text(one));
    return all;
  }
  std::string kind_;
  EnqueueOptions defaults_;
};

}  // namespace millrace
