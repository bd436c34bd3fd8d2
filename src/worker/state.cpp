#include "worker/state.hpp"

#include "base/text.hpp"

#include <millrace/limits.hpp>
#include <millrace/version.hpp>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <unistd.h>

#include <algorithm>
#include <random>
#include <set>

namespace millrace::worker {
namespace {

void check_duration(const char* field, Milliseconds value, Milliseconds low, Milliseconds high) {
  if (value < low || value > high) {
    throw InvalidArgument(field, fmt::format("is {} ms; allowed is {} to {} ms", value.count(), low.count(), high.count()));
  }
}

WorkerOptions checked(WorkerOptions options) {
  using namespace std::chrono_literals;
  base::check_schema_name(options.schema);
  if (options.queues.empty()) throw InvalidArgument("queues", "is empty; a worker serves at least one");
  std::set<std::string> names;
  for (const WorkerQueue& queue : options.queues) {
    base::check_name("queues.name", queue.name, limits::queue_bytes_max);
    if (queue.concurrency < 1 || queue.concurrency > 1000) {
      throw InvalidArgument("queues.concurrency", fmt::format("is {}; allowed is 1 to 1000", queue.concurrency));
    }
    if (!names.insert(queue.name).second) throw InvalidArgument("queues", fmt::format("names \"{}\" twice", queue.name));
  }
  check_duration("lease_ttl", options.lease_ttl, 1s, 24h);
  if (options.heartbeat == 0ms) options.heartbeat = options.lease_ttl / 6;
  check_duration("heartbeat", options.heartbeat, 10ms, options.lease_ttl / 3);
  check_duration("poll_interval", options.poll_interval, 10ms, 1h);
  check_duration("grace", options.grace, 0ms, 24h);
  check_duration("stop_patience", options.stop_patience, 0ms, 24h);
  check_duration("timeout_grace", options.timeout_grace, 0ms, 24h);
  if (options.batch < 1 || options.batch > 5000) throw InvalidArgument("batch", fmt::format("is {}; allowed is 1 to 5000", options.batch));
  return options;
}

std::string fresh_uuid() {
  std::random_device random;
  std::array<unsigned, 4> words{};
  for (unsigned& word : words) word = random();
  words[1] = (words[1] & 0xFFFF0FFFU) | 0x4000U;
  words[2] = (words[2] & 0x3FFFFFFFU) | 0x80000000U;
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:04x}{:08x}", words[0], words[1] >> 16U, words[1] & 0xFFFFU, words[2] >> 16U,
                     words[2] & 0xFFFFU, words[3]);
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "unknown";
  return base::storable(name, 128);
}

}  // namespace

State::State(WorkerOptions given)
    : options(checked(std::move(given))),
      log(options.logger),
      id(fresh_uuid()),
      host(host_name()),
      schema(base::quote_identifier(options.schema)) {
  if (!log) log = std::make_shared<spdlog::logger>("millrace", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  if (options.name.empty()) options.name = fmt::format("{}:{}", host, ::getpid());
  for (const WorkerQueue& queue : options.queues) {
    queues.push_back(std::make_unique<Serving>(queue, options.batch, claimer_bell));
  }
}

std::unique_ptr<postgres::Connection> State::connect(const char* role) const {
  auto connection = std::make_unique<postgres::Connection>(postgres::Dial{.url = options.database,
                                                                          .application = fmt::format("millrace worker {}", role),
                                                                          .schema = options.schema,
                                                                          .session = options.listen});
  // Behind a pooler a session is nobody's: there is nothing to attach.
  if (options.listen) connection->run(fmt::format("SELECT {}.attach_session($1)", schema), postgres::Params().text(id));
  return connection;
}

void State::register_worker(postgres::Connection& connection) const {
  postgres::ArrayText names;
  for (const WorkerQueue& queue : options.queues) names.text(queue.name);
  postgres::ArrayText handled;
  for (const auto& [kind, handler] : kinds) handled.text(kind);
  connection.run(fmt::format("SELECT {}.register_worker($1, $2, $3, $4, $5, $6::text[], $7::interval, $8::interval, $9::text[])", schema),
                 postgres::Params()
                     .text(id)
                     .text(options.name)
                     .text(host)
                     .integer(::getpid())
                     .text(std::string(version()))
                     .text(std::move(names).take())
                     .text(fmt::format("{} milliseconds", options.lease_ttl.count()))
                     .text(fmt::format("{} milliseconds", options.poll_interval.count()))
                     .text(std::move(handled).take()));
}

void State::register_again(postgres::Connection& connection) {
  register_worker(connection);
  ++registrations;
}

void State::attach_again(postgres::Connection& connection, int& attached) const {
  const int now = registrations;
  if (attached == now) return;
  if (options.listen) connection.run(fmt::format("SELECT {}.attach_session($1)", schema), postgres::Params().text(id));
  attached = now;
}

void State::back_off(int failures, const char* role, const std::exception& error) {
  log->warn("{}: {}; trying again", role, error.what());
  thread_local std::minstd_rand random{std::random_device{}()};
  const int ceiling_ms = std::min(5000, 100 << std::min(failures, 6));
  const Milliseconds delay(std::uniform_int_distribution<int>(ceiling_ms / 2, ceiling_ms)(random));
  // Not a bell: several threads may be here at once, and each looks at its own flag when it comes back.
  std::this_thread::sleep_for(delay);
}

void State::lose(const std::vector<LeaseId>& leases) {
  for (const LeaseId lease : leases) {
    for (const auto& serving : queues) {
      serving->slots.each([&](Slot& slot) { slot.stop_if_lease(lease, StopCause::lease_lost); });
    }
  }
  heart_bell.ring();  // it interrupts their sessions
}

bool State::idle() {
  return std::all_of(queues.begin(), queues.end(), [](const auto& serving) { return serving->lane.idle(); });
}

}  // namespace millrace::worker
