// For the tests of programs that use Millrace: link millrace::testing. Nothing here depends on a test framework.
#pragma once

#include <millrace/testing/clock.hpp>
#include <millrace/testing/database.hpp>
#include <millrace/testing/drain.hpp>
#include <millrace/testing/enqueued.hpp>
#include <millrace/testing/faults.hpp>
#include <millrace/testing/perform.hpp>
