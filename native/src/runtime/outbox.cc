#include "runtime/outbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include "sterna/error.h"

namespace sterna {

Outbox::Outbox() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (fd_ < 0) {
    throw Error(ErrorCode::kIo, std::string("cannot create an eventfd: ") + std::strerror(errno));
  }
}

Outbox::~Outbox() { close(fd_); }

void Outbox::append(std::vector<Event>& events) {
  if (events.empty()) return;
  const std::lock_guard lock(mutex_);
  const bool was_empty = waiting_.empty();
  if (was_empty) {
    waiting_.swap(events);
  } else {
    waiting_.insert(waiting_.end(), std::make_move_iterator(events.begin()),
                    std::make_move_iterator(events.end()));
  }
  events.clear();
  if (was_empty) {
    const std::uint64_t one = 1;
    // Cannot fail: the counter is zero and far from its limit.
    [[maybe_unused]] const auto written = write(fd_, &one, sizeof(one));
  }
}

std::vector<Event> Outbox::drain() {
  std::vector<Event> events;
  const std::lock_guard lock(mutex_);
  events.swap(waiting_);
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = read(fd_, &count, sizeof(count));
  return events;
}

}  // namespace sterna
