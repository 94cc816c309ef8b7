// Starting a thread, which the system may refuse.
#pragma once

#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "sterna/error.h"

namespace sterna {

// A thread that runs body(). Throws Error (kInvalidArgument, threads) when there is no room for it.
template <typename Body>
std::thread start_thread(Body body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& error) {
    throw Error(ErrorCode::kInvalidArgument,
                "the system refuses another thread (" + error.code().message() +
                    "); lower threads, or raise the limit of processes and of memory",
                "threads");
  }
}

}  // namespace sterna
