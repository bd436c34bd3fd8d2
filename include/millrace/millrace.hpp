// Millrace: a task queue in PostgreSQL. This header has everything; each part may be included by itself.
#pragma once

#include <millrace/client.hpp>
#include <millrace/context.hpp>
#include <millrace/enqueue.hpp>
#include <millrace/error.hpp>
#include <millrace/events.hpp>
#include <millrace/exceptions.hpp>
#include <millrace/json_schema.hpp>
#include <millrace/kind.hpp>
#include <millrace/limits.hpp>
#include <millrace/lock.hpp>
#include <millrace/manage.hpp>
#include <millrace/migrate.hpp>
#include <millrace/outcome.hpp>
#include <millrace/schedule.hpp>
#include <millrace/tail.hpp>
#include <millrace/task.hpp>
#include <millrace/types.hpp>
#include <millrace/version.hpp>
#include <millrace/worker.hpp>
