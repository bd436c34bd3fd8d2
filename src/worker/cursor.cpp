#include "worker/cursor.hpp"

#include "postgres/params.hpp"

#include <algorithm>

namespace millrace::worker {

std::string Cursor::times(bool sweep) const {
  if (sweep) return "{-infinity,-infinity,-infinity,-infinity,-infinity}";
  postgres::ArrayText text;
  for (const Mark& mark : marks_) text.text(mark.time);
  return std::move(text).take();
}

std::string Cursor::ids(bool sweep) const {
  if (sweep) return "{0,0,0,0,0}";
  postgres::ArrayText text;
  for (const Mark& mark : marks_) text.integer(mark.id);
  return std::move(text).take();
}

void Cursor::reached(int bucket, std::string time, std::int64_t id) {
  if (bucket >= 0 && bucket < static_cast<int>(marks_.size())) marks_[static_cast<std::size_t>(bucket)] = {std::move(time), id};
}

void Cursor::swept(Clock::time_point begin, Clock::time_point end) noexcept {
  next_sweep_ = end + std::min<Clock::duration>((end - begin) * 10, std::chrono::seconds(5));
}

void Cursor::reset() {
  marks_ = {};
  next_sweep_ = {};
}

}  // namespace millrace::worker
