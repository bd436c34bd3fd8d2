// Which tasks are there: found, asserted, refuted.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include <millrace/client.hpp>
#include <millrace/task.hpp>
#include <millrace/types.hpp>

namespace millrace::testing {

class Database;

/// An assertion of these headers does not hold. The message has a line for what was wanted, and a line for each task that is there.
class AssertionFailed : public Error {
 public:
  using Error::Error;
};

/// Where to look: a database, a client's schema, or a transaction, which sees what it enqueued itself before it commits.
class From {
 public:
  From(Database& database) : from_(&database) {}                     // NOLINT(google-explicit-constructor)
  From(Client& client) : from_(&client) {}                           // NOLINT(google-explicit-constructor)
  From(pqxx::transaction_base& tx, std::string schema = "millrace")  // NOLINT(google-explicit-constructor)
      : from_(&tx), schema_(std::move(schema)) {}
  /// Every task, oldest first.
  [[nodiscard]] std::vector<TaskRecord> tasks() const;

 private:
  std::variant<Database*, Client*, pqxx::transaction_base*> from_;
  std::string schema_{};
};

/// Which tasks are meant. Unset fields match everything; a task counts whatever became of it since, unless `status` says otherwise.
struct Wanted {
  std::optional<std::string> args{};  ///< JSON text of an object: its fields are there, with these values; of inner objects likewise.
  std::optional<std::string> queue{};
  std::optional<Status> status{};
  std::optional<Priority> priority{};
  std::vector<std::string> tags{};  ///< All of them.
  std::optional<std::string> tenant{};
  std::optional<std::string> correlation{};
  std::optional<Time> run_from{};                  ///< Not due before this time.
  std::optional<Time> run_until{};                 ///< Due by this time.
  std::optional<int> count{};                      ///< For assert_enqueued: exactly so many. Default: at least one.
  std::function<bool(const TaskRecord&)> where{};  ///< And anything else.
  std::string about{};                             ///< What `where` looks for, for messages.
};

/// The tasks of this kind that match, oldest first. Throws InvalidArgument("args") if those are no JSON object.
[[nodiscard]] std::vector<TaskRecord> enqueued(const From& from, std::string_view kind, const Wanted& wanted = {});
/// The same, but throws AssertionFailed if there is none, or not wanted.count of them.
std::vector<TaskRecord> assert_enqueued(const From& from, std::string_view kind, const Wanted& wanted = {});
/// Throws AssertionFailed if there is one.
void refute_enqueued(const From& from, std::string_view kind, const Wanted& wanted = {});

/// Matches every task of a definition.
struct Any {};

/// `wanted`, and what `matcher` says of the args: those args, as JSON; or a `bool(const Args&)`; or Any.
/// A task whose args cannot be read as Args does not match.
template <class Args, class Result, class Matcher>
[[nodiscard]] Wanted matching(const Task<Args, Result>&, Matcher matcher, Wanted wanted) {
  if constexpr (std::is_same_v<Matcher, Any>) {
    return wanted;
  } else {
    std::function<bool(const TaskRecord&)> fits;
    if constexpr (std::is_convertible_v<Matcher, Args>) {
      const nlohmann::json exactly = static_cast<Args>(std::move(matcher));
      wanted.about += (wanted.about.empty() ? "args " : ", args ") + exactly.dump();
      fits = [exactly](const TaskRecord& task) { return nlohmann::json::parse(task.args) == exactly; };
    } else {
      static_assert(std::is_invocable_r_v<bool, Matcher&, const Args&>,
                    "the matcher must be the task's args, or take them and return a bool");
      wanted.about += wanted.about.empty() ? "args that fit" : ", args that fit";
      fits = [matcher](const TaskRecord& task) mutable {
        try {
          return static_cast<bool>(matcher(nlohmann::json::parse(task.args).template get<Args>()));
        } catch (const nlohmann::json::exception&) {
          return false;
        }
      };
    }
    wanted.where = [fits, also = std::move(wanted.where)](const TaskRecord& task) { return fits(task) && (!also || also(task)); };
    return wanted;
  }
}

template <class Args, class Result, class Matcher = Any>
[[nodiscard]] std::vector<TaskRecord> enqueued(const From& from, const Task<Args, Result>& task, Matcher matcher = {}, Wanted wanted = {}) {
  return enqueued(from, task.kind(), matching(task, std::move(matcher), std::move(wanted)));
}
template <class Args, class Result, class Matcher = Any>
std::vector<TaskRecord> assert_enqueued(const From& from, const Task<Args, Result>& task, Matcher matcher = {}, Wanted wanted = {}) {
  return assert_enqueued(from, task.kind(), matching(task, std::move(matcher), std::move(wanted)));
}
template <class Args, class Result, class Matcher = Any>
void refute_enqueued(const From& from, const Task<Args, Result>& task, Matcher matcher = {}, Wanted wanted = {}) {
  refute_enqueued(from, task.kind(), matching(task, std::move(matcher), std::move(wanted)));
}

}  // namespace millrace::testing
