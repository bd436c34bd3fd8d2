#include "base/text.hpp"
#include "base/time_text.hpp"
#include "testing/clock_impl.hpp"

#include <millrace/testing/database.hpp>

#include <fmt/format.h>

namespace millrace::testing {
namespace {

Time checked(Time time) {
  using namespace std::chrono;
  if (time < Time{} || time >= Time{sys_days{year{10000} / 1 / 1}}) throw InvalidArgument("time", "is outside the years 1970 to 9999");
  return time;
}

}  // namespace

Time Clock::Impl::now() {
  if (frozen) return *frozen;
  return base::parse_time(database->value("SELECT clock()")).value_or(Time{});
}

// The text itself holds the time, so that the function stays as cheap as the real one, and every cached plan sees the change.
void Clock::Impl::apply() const {
  std::string now = "SELECT pg_catalog.now()";
  if (frozen) {
    now = fmt::format("SELECT ''{}''::pg_catalog.timestamptz", base::format_time(*frozen));
  } else if (shift.count() != 0) {
    now += fmt::format(" + ''{} microseconds''::pg_catalog.interval", shift.count());
  }
  database->exec(fmt::format("CREATE OR REPLACE FUNCTION {}.clock() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS '{}'",
                             base::quote_identifier(database->schema()), now));
}

void Clock::Impl::go_to(Time time) {
  if (frozen) {
    frozen = time;
  } else {
    shift += time - now();
  }
  apply();
}

Clock::Clock(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Clock::~Clock() = default;

Time Clock::now() {
  const std::lock_guard lock(impl_->mutex);
  return impl_->now();
}

void Clock::advance(Milliseconds by) {
  if (by.count() < 0) throw InvalidArgument("by", fmt::format("is {} ms; a clock that is to go back is set()", by.count()));
  const std::lock_guard lock(impl_->mutex);
  checked(impl_->now() + by);
  if (impl_->frozen) {
    *impl_->frozen += by;
  } else {
    impl_->shift += by;
  }
  impl_->apply();
}

void Clock::set(Time time) {
  const std::lock_guard lock(impl_->mutex);
  impl_->go_to(checked(time));
}

void Clock::freeze(std::optional<Time> at) {
  const std::lock_guard lock(impl_->mutex);
  impl_->frozen = at ? checked(*at) : impl_->now();
  impl_->apply();
}

void Clock::thaw() {
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->frozen) return;
  const Time from = *impl_->frozen;
  impl_->frozen.reset();
  impl_->shift = from - base::parse_time(impl_->database->value("SELECT pg_catalog.now()")).value_or(from);
  impl_->apply();
}

void Clock::reset() {
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->frozen && impl_->shift.count() == 0) return;
  impl_->frozen.reset();
  impl_->shift = {};
  impl_->apply();
}

bool Clock::frozen() const noexcept {
  const std::lock_guard lock(impl_->mutex);
  return impl_->frozen.has_value();
}

}  // namespace millrace::testing
