// millrace lock list | holder | acquire | extend | release
#include "base/time_text.hpp"
#include "cli/app.hpp"
#include "cli/duration.hpp"
#include "cli/failure.hpp"
#include "cli/lock_run.hpp"
#include "cli/table.hpp"
#include "engine/locks.hpp"

#include <millrace/client.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>

namespace millrace::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string short_time(Time time) { return base::format_time(time).substr(0, 19) + 'Z'; }

Json json_of(const LockRecord& lock) {
  return {{"name", lock.name},
          {"owner", lock.owner},
          {"token", lock.token.value},
          {"acquired_at", base::format_time(lock.acquired_at)},
          {"expires_at", base::format_time(lock.expires_at)}};
}

struct Call {
  std::string name{}, token{}, ttl{"30s"}, wait{"0s"};
  std::optional<std::string> owner{};
  std::vector<std::string> command{};
};

LockToken token_of(const Call& call) { return {parse_integer("token", call.token)}; }

void list(const Globals& globals) {
  const auto locks = globals.client().locks();
  Table table({"NAME", "OWNER", "TOKEN", "ACQUIRED", "EXPIRES"});
  for (const LockRecord& one : locks) {
    if (globals.json)
      fmt::print("{}\n", json_of(one).dump());
    else
      table.add({one.name, one.owner, std::to_string(one.token.value), short_time(one.acquired_at), short_time(one.expires_at)});
  }
  if (globals.json) return;
  if (locks.empty())
    fmt::print("no lock is held; millrace lock run NAME -- COMMAND holds one while a command runs\n");
  else
    table.print();
}

void holder(const Globals& globals, const Call& call) {
  const auto lock = globals.client().lock_holder(call.name);
  if (!lock) throw NotFound(fmt::format("nobody holds lock \"{}\"; millrace lock list shows those that are held", call.name));
  if (globals.json)
    fmt::print("{}\n", json_of(*lock).dump());
  else
    fmt::print("{} holds it with token {} until {}\n", printable(lock->owner), lock->token.value, short_time(lock->expires_at));
}

void acquire(const Globals& globals, const Call& call) {
  const std::string owner = call.owner ? *call.owner : engine::fresh_owner();
  const Milliseconds wait = parse_duration("--wait", call.wait);
  Client client = globals.client();
  const auto attempt = client.acquire_lock(call.name, owner, parse_duration("--ttl", call.ttl), wait);
  if (!attempt.acquired()) throw refusal(call.name, wait, attempt.owner, attempt.expires_at);
  // The answer to acquire_lock() does not say since when; the row does, unless it has changed hands meanwhile.
  auto held = globals.json ? client.lock_holder(call.name) : std::nullopt;
  if (held && held->token != *attempt.token) held.reset();
  if (globals.json)
    fmt::print("{}\n", Json{{"name", call.name},
                            {"owner", owner},
                            {"token", attempt.token->value},
                            {"acquired_at", held ? Json(base::format_time(held->acquired_at)) : Json()},
                            {"expires_at", base::format_time(attempt.expires_at.value_or(Time{}))}}
                           .dump());
  else
    fmt::print("{}\n", attempt.token->value);
}

void extend(const Globals& globals, const Call& call) {
  const LockToken token = token_of(call);
  try {
    const Time until = globals.client().extend_lock(call.name, token, parse_duration("--ttl", call.ttl));
    if (globals.json)
      fmt::print("{}\n", Json{{"name", call.name}, {"token", token.value}, {"expires_at", base::format_time(until)}}.dump());
    else
      fmt::print("lock \"{}\" is held until {}\n", printable(call.name), short_time(until));
  } catch (const LeaseLost& e) {
    throw StateError(e.what());
  }
}

void release(const Globals& globals, const Call& call) {
  const LockToken token = token_of(call);
  if (!globals.client().release_lock(call.name, token))
    throw StateError(fmt::format("lock \"{}\" was not held with token {} (any more); millrace lock holder {} tells who holds it", call.name,
                                 token.value, call.name));
  if (globals.json)
    fmt::print("{}\n", Json{{"name", call.name}, {"token", token.value}, {"released", true}}.dump());
  else
    fmt::print("lock \"{}\" is released\n", printable(call.name));
}

}  // namespace

void add_lock(CLI::App& app, Globals& globals) {
  CLI::App* lock = app.add_subcommand("lock", "Named locks that expire unless they are extended");
  lock->require_subcommand(1);
  const auto call = std::make_shared<Call>();
  const auto add = [&](const char* verb, const char* help) {
    CLI::App* command = lock->add_subcommand(verb, help);
    command->add_option("name", call->name, "Its name: 1 to 128 bytes")->required()->type_name("NAME");
    return command;
  };
  const auto add_ttl = [&](CLI::App* command) {
    command->add_option("--ttl", call->ttl, "When it expires, from now: 1s to 1d")->type_name("DURATION")->capture_default_str();
  };
  const auto add_acquiring = [&](CLI::App* command, const char* help) {
    add_ttl(command);
    command->add_option("--wait", call->wait, "Keep trying for so long while somebody else has it")
        ->type_name("DURATION")
        ->capture_default_str();
    command->add_option("--owner", call->owner, help)->type_name("OWNER");
  };
  lock->add_subcommand("list", "The locks that are held")->callback([&globals] { list(globals); });
  add("holder", "Who holds a lock")->callback([&globals, call] { holder(globals, *call); });

  CLI::App* acquiring = add("acquire", "Acquire a lock and print its token");
  add_acquiring(acquiring, "Who has it; who holds it already extends it. Default: unique to this call");
  acquiring->callback([&globals, call] { acquire(globals, *call); });

  CLI::App* extending = add("extend", "Put off the expiry of a lock that you hold");
  extending->add_option("token", call->token, "The token that acquire printed")->required()->type_name("TOKEN");
  add_ttl(extending);
  extending->callback([&globals, call] { extend(globals, *call); });

  CLI::App* releasing = add("release", "Let others have a lock that you hold");
  releasing->add_option("token", call->token, "The token that acquire printed")->required()->type_name("TOKEN");
  releasing->callback([&globals, call] { release(globals, *call); });

  CLI::App* running = add("run", "Hold a lock while a command runs: lock run NAME [options] -- COMMAND [ARGUMENT]...");
  add_acquiring(running, "Who has it. Default: unique to this call");
  running->add_option("command", call->command, "The command, after --")->required()->type_name("-- COMMAND")->expected(-1);
  running->footer(
      "The command finds MILLRACE_LOCK_NAME, MILLRACE_LOCK_TOKEN and MILLRACE_SCHEMA in its environment. Its exit code\n"
      "becomes ours: 128 + n if signal n ended it, 127 if there is no such command, 126 if it cannot be run. It is told\n"
      "with SIGTERM if the lock is lost, and killed a tenth of the ttl later. If somebody else has the lock, or it was\n"
      "lost, the exit code is 4.");
  running->callback([&globals, call] {
    const int code = run_locked(
        globals, call->name,
        {.owner = call->owner.value_or(""), .ttl = parse_duration("--ttl", call->ttl), .wait = parse_duration("--wait", call->wait)},
        call->command);
    if (code != 0) throw Exit{code};
  });
}

}  // namespace millrace::cli
