// The floors of several threads at once: see measure_floors in machine.h.
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <limits>
#include <new>
#include <thread>

#include "base/start_thread.h"
#include "machine.h"

namespace sterna::bench {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kReadRounds = 5;
constexpr int kMultiplyRounds = 3;
constexpr double kMultiplySeconds = 0.02;
constexpr std::size_t kPage = 4096;

// Memory that the kernel may back with huge pages.
class Memory {
 public:
  explicit Memory(std::size_t size)
      : data_(static_cast<std::uint8_t*>(operator new(size, kAlign))) {
#if defined(MADV_HUGEPAGE)
    madvise(data_, size, MADV_HUGEPAGE);
#endif
  }
  ~Memory() { operator delete(data_, kAlign); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::uint8_t* data() const { return data_; }

 private:
  static constexpr std::align_val_t kAlign{std::size_t{2} << 20};
  std::uint8_t* data_;
};

// Seconds from the common start of work(thread) on all threads to the end of the last one.
double together(int threads, const std::function<void(int)>& work) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<Clock::time_point> ends(threads);
  std::vector<std::thread> pool;
  try {
    for (int t = 0; t < threads; ++t) {
      pool.push_back(start_thread([&, t] {
        ready.fetch_add(1);
        while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
        work(t);
        ends[t] = Clock::now();
      }));
    }
  } catch (...) {
    go.store(true, std::memory_order_release);
    for (std::thread& thread : pool) thread.join();
    throw;
  }
  while (ready.load() < threads) std::this_thread::yield();
  const auto begin = Clock::now();
  go.store(true, std::memory_order_release);
  for (std::thread& thread : pool) thread.join();
  return std::chrono::duration<double>(*std::max_element(ends.begin(), ends.end()) - begin).count();
}

double best_of(int rounds, int threads, const std::function<void(int)>& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round < rounds; ++round) best = std::min(best, together(threads, work));
  return best;
}

}  // namespace

Floors measure_floors(int threads, std::size_t bytes, const std::string& table) {
  const std::size_t share = bytes / threads / kPage * kPage;
  const Memory memory(share * threads);
  // Each thread touches its own share first, so that the pages lie near the core that reads them.
  together(threads, [&](int t) { std::memset(memory.data() + share * t, t + 1, share); });
  Floors floors;
  floors.table = table;
  const double read =
      best_of(kReadRounds, threads, [&](int t) { read_memory(memory.data() + share * t, share); });
  floors.read_bytes_per_second = static_cast<double>(share) * threads / read;
  const Int8Work work = int8_work(table);
  if (work.run != nullptr) {
    const double once = std::max(measure(1, 0.002, work.run).best, 1e-9);
    const auto calls = static_cast<int>(kMultiplySeconds / once) + 1;
    const double multiply = best_of(kMultiplyRounds, threads, [&](int) {
      for (int i = 0; i < calls; ++i) work.run();
    });
    floors.int8_macs_per_second = work.macs * calls * threads / multiply;
  }
  return floors;
}

}  // namespace sterna::bench
