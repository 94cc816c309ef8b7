// What this machine can do at best on one core: the floors that kernels are measured against.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace sterna::bench {

// Processor time of this thread: what other processes do on the same core does not count, though
// what they do to caches and memory still does.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Timing {
  double best = 0.0;  // seconds of one call
  double median = 0.0;
};

// Times `repeats` batches of calls, each batch about `batch_seconds` long.
template <typename Call>
Timing measure(int repeats, double batch_seconds, Call call) {
  const double warm = thread_seconds();
  int calls = 0;
  do {
    call();
    ++calls;
  } while (thread_seconds() - warm < batch_seconds);
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const double begin = thread_seconds();
    for (int j = 0; j < calls; ++j) call();
    times.push_back((thread_seconds() - begin) / calls);
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

// Bytes per second of a read in address order: the best and the median of `repeats`. `memory` is
// page-aligned and larger than every cache.
Timing streaming_read(const std::uint8_t* memory, std::size_t size, int repeats);

// Multiply-accumulates per second of the int8 dot product that a table is built on, from registers;
// 0 for a table that uses none.
double int8_peak(const std::string& table, int repeats);

}  // namespace sterna::bench
