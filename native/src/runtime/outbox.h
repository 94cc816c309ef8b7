// Events on their way out of the engine thread, which must never wait for their reader.
#pragma once

#include <mutex>
#include <vector>

#include "sterna/event.h"

namespace sterna {

class Outbox {
 public:
  Outbox();
  ~Outbox();
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  // Appends a step's events; `events` is left empty. Signals only when the outbox was empty, so
  // that a reader who falls behind costs the engine no system call.
  void append(std::vector<Event>& events);
  std::vector<Event> drain();
  // Readable while events wait.
  int fd() const { return fd_; }

 private:
  std::mutex mutex_;
  std::vector<Event> waiting_;
  int fd_;
};

}  // namespace sterna
