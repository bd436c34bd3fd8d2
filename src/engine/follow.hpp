// The pace at which a queue is followed, across lost connections.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include <millrace/tail.hpp>

#include "postgres/connection.hpp"

namespace millrace::engine {

/// Follows a queue on this thread until `stop` is requested; on sessions that `connect` makes. See Client::tail.
void follow(const std::function<std::unique_ptr<postgres::Connection>()>& connect, const std::string& schema, const TailOptions& options,
            const std::function<void(const Transition&)>& on_transition, const std::stop_token& stop);

}  // namespace millrace::engine
