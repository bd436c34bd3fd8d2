// Typed definitions: a kind of task, its args, its result and its defaults, in one place for both sides.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <millrace/client.hpp>
#include <millrace/context.hpp>
#include <millrace/enqueue.hpp>
#include <millrace/failing_path.hpp>
#include <millrace/json_schema.hpp>
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
  [[nodiscard]] const std::vector<std::string>& aliases() const noexcept { return aliases_; }
  [[nodiscard]] const std::optional<JsonSchema>& schema() const noexcept { return schema_; }

  /// This definition, whose handler also runs tasks of these kinds: the names that it had before it was renamed.
  [[nodiscard]] Task with_aliases(const std::vector<std::string>& former) const {
    Task task = *this;
    task.aliases_ = former;
    return task;
  }
  /// This definition, whose args have to fit this schema: enqueue() throws InvalidArgument("args") if they do not, and a task
  /// whose args do not becomes a dead letter without being run.
  [[nodiscard]] Task with_schema(const JsonSchema& schema) const {
    Task task = *this;
    task.schema_ = schema;
    return task;
  }
  /// This definition, whose result has to fit this schema: a run whose result does not fails for good.
  [[nodiscard]] Task with_result_schema(const JsonSchema& schema) const {
    static_assert(!std::is_void_v<Result>, "this task has no result");
    Task task = *this;
    task.result_schema_ = schema;
    return task;
  }

  /// Adds a task within `tx`. Throws as millrace::enqueue does.
  Enqueued enqueue(pqxx::transaction_base& tx, const Args& args, EnqueueOptions options = {}) const {
    return millrace::enqueue(tx, kind_, checked(args), keyed(args, std::move(options)));
  }
  /// Adds a task in a transaction of its own.
  Enqueued enqueue(Client& client, const Args& args, EnqueueOptions options = {}) const {
    return client.enqueue(kind_, checked(args), keyed(args, std::move(options)));
  }
  /// Adds a task from within a handler, which it inherits the correlation id and the trace context of: in a transaction of its own
  /// at once, or within `tx`, such as context.transaction().
  Enqueued enqueue(Context& context, const Args& args, EnqueueOptions options = {}) const {
    return context.enqueue(kind_, checked(args), keyed(args, std::move(options)));
  }
  Enqueued enqueue(Context& context, pqxx::transaction_base& tx, const Args& args, EnqueueOptions options = {}) const {
    return millrace::enqueue(tx, kind_, checked(args), context.inherit(keyed(args, std::move(options))));
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
      throw InvalidArgument("args", "cannot be written as JSON: " + text_of(e));
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

  /// The result of a completed task; none if it has not completed. Throws InvalidArgument("result") if it cannot be read.
  [[nodiscard]] auto result(const TaskRecord& task) const {
    static_assert(!std::is_void_v<Result>, "this task has no result");
    std::optional<Result> value;
    if (task.status != Status::completed || !task.result) return value;
    try {
      value = nlohmann::json::parse(*task.result).template get<Result>();
    } catch (const nlohmann::json::exception& e) {
      throw InvalidArgument("result", "cannot be read: " + detail::plain_message(e));
    }
    return value;
  }

  /// Why these args (JSON text) cannot be read, or do not fit the schema; none if they can, and do.
  [[nodiscard]] std::optional<std::string> problem(std::string_view text) const {
    try {
      static_cast<void>(read(text, schema_));
      return {};
    } catch (const Fail& fail) {
      return fail.reason;
    } catch (const std::exception& e) {
      return text_of(e);
    }
  }

  /// The handler on the level of JSON text, as Worker runs it.
  template <class Handler>
  [[nodiscard]] std::function<Outcome<std::string>(Context&)> wrap(Handler handler) const {
    constexpr bool transactional = std::is_invocable_v<Handler&, const Args&, pqxx::transaction_base&, Context&>;
    static_assert(transactional || std::is_invocable_v<Handler&, const Args&, Context&>,
                  "the handler must take the task's args and a Context&, or its args, a pqxx::transaction_base& and a Context&");
    return
        [handler = std::move(handler), schema = schema_, result_schema = result_schema_](Context& context) mutable -> Outcome<std::string> {
          const Args args = read(context.args(), schema);
          const auto call = [&] {
            if constexpr (transactional) {
              return handler(args, context.transaction(), context);
            } else {
              return handler(args, context);
            }
          };
          const auto text = [&](const auto& value) { return written(value, result_schema); };
          using Returned = decltype(call());
          if constexpr (std::is_void_v<Returned>) {
            static_assert(std::is_void_v<Result>, "this task has a result: the handler must return it");
            call();
            return std::string{};
          } else if constexpr (detail::is_outcome<Returned>) {
            return std::move(call()).map(text);
          } else if constexpr (!std::is_convertible_v<Returned, Result> && requires(Returned r) { r.has_value(), r.error(); }) {
            // A type like std::expected.
            auto returned = call();
            if (!returned.has_value()) return err(returned.error());
            if constexpr (std::is_void_v<Result>)
              return std::string{};
            else
              return text(*returned);
          } else {
            return text(call());
          }
        };
  }

 private:
  template <class Value>
  static std::string written(const Value& value, const std::optional<JsonSchema>& schema) {
    if constexpr (std::is_same_v<Value, Done>) {
      static_assert(std::is_void_v<Result>, "this task has a result: the handler must return it");
      return {};
    } else {
      static_assert(std::is_convertible_v<Value, Result>, "the handler must return the task's result");
      std::string text = nlohmann::json(static_cast<Result>(value)).dump();
      if (schema) {
        if (const auto problem = schema->problem(text)) throw Fail{"the result does not fit its schema: " + *problem};
      }
      return text;
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
  static Args read(std::string_view text, const std::optional<JsonSchema>& schema) {
    if (schema) {
      if (const auto problem = schema->problem(text)) throw Fail{"the args do not fit the schema: " + *problem};
    }
    try {
      const auto document = nlohmann::json::parse(text);
      try {
        return document.template get<Args>();
      } catch (const std::bad_alloc&) {
        throw;
      } catch (const std::exception& e) {
        const auto convert = [](const nlohmann::json& json) { static_cast<void>(json.template get<Args>()); };
        const std::string path = detail::FailingPath(document, convert).find();
        throw Fail{"the args cannot be read: " + (path.empty() ? "" : path + ": ") + detail::plain_message(e)};
      }
    } catch (const nlohmann::json::parse_error& e) {
      throw Fail{"the args cannot be read: " + detail::plain_message(e)};
    }
  }
  [[nodiscard]] std::string checked(const Args& args) const {
    std::string json = text(args);
    if (schema_) schema_->check("args", json);
    return json;
  }
  [[nodiscard]] std::vector<std::string> texts(std::span<const Args> args) const {
    std::vector<std::string> all;
    all.reserve(args.size());
    for (const Args& one : args) all.push_back(checked(one));
    return all;
  }
  std::string kind_;
  EnqueueOptions defaults_;
  Keys<Args> keys_;
  std::vector<std::string> aliases_{};
  std::optional<JsonSchema> schema_{};
  std::optional<JsonSchema> result_schema_{};
};

}  // namespace millrace
