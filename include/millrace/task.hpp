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

/// Keys that a definition computes from the args, for every enqueue that does not give them itself. Either may be empty.
template <class Args>
struct Keys {
  std::function<std::string(const Args&)> key{};         ///< EnqueueOptions::key: the idempotency key.
  std::function<std::string(const Args&)> unique_key{};  ///< EnqueueOptions::unique_key: also for debounce and throttle.
};

/// A kind of task. `Args` and `Result` convert to and from nlohmann::json, Args to a JSON object; Result may be void.
/// `defaults` are used for every option that an enqueue leaves unset. Immutable, so safe to share between threads.
template <class Args, class Result = void>
class Task {
 public:
  explicit Task(std::string kind, EnqueueOptions defaults = {}, Keys<Args> keys = {})
      : kind_(std::move(kind)), defaults_(std::move(defaults)), keys_(std::move(keys)) {}

  [[nodiscard]] const std::string& kind() const noexcept { return kind_; }
  [[nodiscard]] const EnqueueOptions& defaults() const noexcept { return defaults_; }

  /// Adds a task within `tx`. Throws as millrace::enqueue does.
  Enqueued enqueue(pqxx::transaction_base& tx, const Args& args, EnqueueOptions options = {}) const {
    return millrace::enqueue(tx, kind_, text(args), keyed(args, std::move(options)));
  }
  /// Adds a task in a transaction of its own.
  Enqueued enqueue(Client& client, const Args& args, EnqueueOptions options = {}) const {
    return client.enqueue(kind_, text(args), keyed(args, std::move(options)));
  }
  /// Adds a task from within a handler, which it inherits the correlation id and the trace context of: in a transaction of its own
  /// at once, or within `tx`, such as context.transaction().
  Enqueued enqueue(Context& context, const Args& args, EnqueueOptions options = {}) const {
    return context.enqueue(kind_, text(args), keyed(args, std::move(options)));
  }
  Enqueued enqueue(Context& context, pqxx::transaction_base& tx, const Args& args, EnqueueOptions options = {}) const {
    return millrace::enqueue(tx, kind_, text(args), context.inherit(keyed(args, std::move(options))));
  }
  /// Adds many tasks, all or none, and returns their ids in the same order. Throws InvalidArgument if the definition has keys.
  std::vector<TaskId> enqueue_many(pqxx::transaction_base& tx, std::span<const Args> args, EnqueueOptions options = {}) const {
    return millrace::enqueue_many(tx, kind_, texts(args), keyless(std::move(options)));
  }
  std::vector<TaskId> enqueue_many(Client& client, std::span<const Args> args, EnqueueOptions options = {}) const {
    return client.enqueue_many(kind_, texts(args), keyless(std::move(options)));
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
    if (!options.expires_at) fill(options.expires_in, defaults_.expires_in);
    fill(options.correlation, defaults_.correlation);
    fill(options.tenant, defaults_.tenant);
    fill(options.traceparent, defaults_.traceparent);
    if (options.tags.empty()) options.tags = defaults_.tags;
    if (options.metadata.empty()) options.metadata = defaults_.metadata;
    if (options.schema == "millrace") options.schema = defaults_.schema;
    return options;
  }
  /// merged(), and the definition's keys: those of its defaults, and those that it computes from these args. They are taken
  /// together or not at all: an enqueue that says what is the same, or what becomes of it, says all of it.
  [[nodiscard]] EnqueueOptions keyed(const Args& args, EnqueueOptions options) const {
    options = merged(std::move(options));
    if (!options.key) {
      options.key = keys_.key ? std::optional(keys_.key(args)) : defaults_.key;
      if (options.key && !options.key_for) options.key_for = defaults_.key_for;
    }
    if (!options.unique_key && !options.unique_by && !options.unique_for && !options.debounce && !options.throttle && !options.replace) {
      options.unique_key = keys_.unique_key ? std::optional(keys_.unique_key(args)) : defaults_.unique_key;
      if (!options.unique_key) options.unique_by = defaults_.unique_by;
      options.unique_for = defaults_.unique_for;
      options.debounce = defaults_.debounce;
      options.debounce_max = defaults_.debounce_max;
      options.throttle = defaults_.throttle;
      options.replace = defaults_.replace;
    }
    return options;
  }

  /// Why these args (JSON text) cannot be read; none if they can.
  [[nodiscard]] static std::optional<std::string> problem(std::string_view text) {
    try {
      static_cast<void>(read(text));
      return {};
    } catch (const Fail& fail) {
      return fail.reason;
    } catch (const std::exception& e) {
      return e.what();
    }
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
  // For many at once. A key that was dropped without a word would be found out by what was done twice.
  [[nodiscard]] EnqueueOptions keyless(EnqueueOptions options) const {
    const auto refuse = [](const char* field) {
      throw InvalidArgument(field, "is given by the definition, and cannot be for many tasks at once: enqueue them one by one");
    };
    if (keys_.key || defaults_.key) refuse("key");
    if (keys_.unique_key || defaults_.unique_key) refuse("unique_key");
    if (defaults_.unique_by) refuse("unique_by");
    if (defaults_.debounce) refuse("debounce");
    if (defaults_.throttle) refuse("throttle");
    return merged(std::move(options));
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
  Keys<Args> keys_;
};

}  // namespace millrace
