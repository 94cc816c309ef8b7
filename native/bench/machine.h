// What this machine can do at best: the floors that kernels and engines are measured against.
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

// Reads `memory` in address order. It is page-aligned; the size is a multiple of 128.
void read_memory(const std::uint8_t* memory, std::size_t size);

// The int8 dot product that a table is built on, from registers: `run` does `macs`
// multiply-accumulates in some microseconds. Null for a table that has none.
struct Int8Work {
  void (*run)() = nullptr;
  double macs = 0.0;
};
Int8Work int8_work(const std::string& table);

// Bytes per second of a read in address order on one core: the best and the median of `repeats`.
// `memory` is larger than every cache.
Timing streaming_read(const std::uint8_t* memory, std::size_t size, int repeats);

// Multiply-accumulates per second of `int8_work` on one core; 0 for a table that has none.
double int8_peak(const std::string& table, int repeats);

// The same for fused multiply-adds in single precision.
double float_peak(const std::string& table, int repeats);

// What several threads reach together by the clock on the wall: the best of a few rounds.
struct Floors {
  std::string table;
  double read_bytes_per_second = 0.0;
  double int8_macs_per_second = 0.0;  // 0 for a table without int8 dot products
};

// Every thread reads its own share of `bytes` (some hundred million, allocated here in huge pages
// where the system gives them), then multiplies what stays in registers; about half a second.
Floors measure_floors(int threads, std::size_t bytes, const std::string& table);

}  // namespace sterna::bench
