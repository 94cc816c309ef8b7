// What this machine can do at best, measured in the same run as the engine's speed.
//
//   floors THREADS [MEGABYTES]   ->   one line of JSON
//
// read_gb_per_s: every thread streams its own part of one large buffer, with plain loads.
// int8_gmac_per_s: every thread multiplies and accumulates bytes that stay in registers, with the
// best instruction that the compiler may use here. Both are the best of several rounds, once by
// the clock on the wall and once by the processor time of the busiest thread, which does not grow
// while other processes hold the core.

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

// Keeps a computed value alive without storing it anywhere.
template <typename T>
void keep(const T& value) {
  asm volatile("" : : "m"(value) : "memory");
}

void read_bytes(const std::uint8_t* data, std::size_t bytes) {
#if defined(__AVX512F__)
  __m512i sum[4] = {};
  for (std::size_t i = 0; i + 256 <= bytes; i += 256) {
    for (int k = 0; k < 4; ++k) {
      sum[k] = _mm512_xor_si512(sum[k], _mm512_loadu_si512(data + i + 64 * k));
    }
  }
#elif defined(__AVX2__)
  __m256i sum[4] = {};
  for (std::size_t i = 0; i + 128 <= bytes; i += 128) {
    for (int k = 0; k < 4; ++k) {
      const auto* at = reinterpret_cast<const __m256i*>(data + i + 32 * k);
      sum[k] = _mm256_xor_si256(sum[k], _mm256_loadu_si256(at));
    }
  }
#elif defined(__aarch64__)
  uint8x16_t sum[4] = {};
  for (std::size_t i = 0; i + 64 <= bytes; i += 64) {
    for (int k = 0; k < 4; ++k) sum[k] = veorq_u8(sum[k], vld1q_u8(data + i + 16 * k));
  }
#else
  std::uint64_t sum[4] = {};
  for (std::size_t i = 0; i + 32 <= bytes; i += 32) {
    for (int k = 0; k < 4; ++k) {
      std::uint64_t word;
      std::memcpy(&word, data + i + 8 * k, 8);
      sum[k] ^= word;
    }
  }
#endif
  keep(sum);
}

// Independent sums, enough to cover the latency of the multiply-accumulate. They begin unequal, and
// the empty assembly hides the operands, or else the compiler would compute less than is written.
constexpr int kChains = 12;

#if defined(__AVX512VNNI__) && defined(__AVX512F__)
constexpr const char* kInstruction = "vpdpbusd (512 bits)";
constexpr int kMacsPerStep = 64;
void multiply_bytes(std::int64_t steps) {
  __m512i sum[kChains];
  for (int k = 0; k < kChains; ++k) sum[k] = _mm512_set1_epi32(k);
  __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
  for (std::int64_t i = 0; i < steps; ++i) {
    asm volatile("" : "+v"(a), "+v"(b));
    for (int k = 0; k < kChains; ++k) sum[k] = _mm512_dpbusd_epi32(sum[k], a, b);
  }
  keep(sum);
}
#elif defined(__AVXVNNI__)
constexpr const char* kInstruction = "vpdpbusd (256 bits)";
constexpr int kMacsPerStep = 32;
void multiply_bytes(std::int64_t steps) {
  __m256i sum[kChains];
  for (int k = 0; k < kChains; ++k) sum[k] = _mm256_set1_epi32(k);
  __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
  for (std::int64_t i = 0; i < steps; ++i) {
    asm volatile("" : "+x"(a), "+x"(b));
    for (int k = 0; k < kChains; ++k) sum[k] = _mm256_dpbusd_avx_epi32(sum[k], a, b);
  }
  keep(sum);
}
#elif defined(__AVX2__)
constexpr const char* kInstruction = "vpmaddubsw + vpmaddwd (256 bits)";
constexpr int kMacsPerStep = 32;
void multiply_bytes(std::int64_t steps) {
  __m256i sum[kChains] = {};
  __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
  for (std::int64_t i = 0; i < steps; ++i) {
    for (int k = 0; k < kChains; ++k) {
      asm volatile("" : "+x"(a));  // each product anew
      sum[k] = _mm256_add_epi32(sum[k], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  keep(sum);
}
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr const char* kInstruction = "sdot (128 bits)";
constexpr int kMacsPerStep = 16;
void multiply_bytes(std::int64_t steps) {
  int32x4_t sum[kChains];
  for (int k = 0; k < kChains; ++k) sum[k] = vdupq_n_s32(k);
  int8x16_t a = vdupq_n_s8(1), b = vdupq_n_s8(2);
  for (std::int64_t i = 0; i < steps; ++i) {
    asm volatile("" : "+w"(a), "+w"(b));
    for (int k = 0; k < kChains; ++k) sum[k] = vdotq_s32(sum[k], a, b);
  }
  keep(sum);
}
#else
constexpr const char* kInstruction = "plain C++";
constexpr int kMacsPerStep = 1;
void multiply_bytes(std::int64_t steps) {
  std::int32_t sum[kChains] = {};
  std::int32_t a = 1, b = 2;
  for (std::int64_t i = 0; i < steps; ++i) {
    for (int k = 0; k < kChains; ++k) {
      asm volatile("" : "+r"(a), "+r"(b));
      sum[k] += a * b;
    }
  }
  keep(sum);
}
#endif

// Processor time of the calling thread.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Seconds {
  double wall = 1e30;       // until the last thread is done
  double processor = 1e30;  // of the thread that took most

  void keep_better(const Seconds& other) {
    wall = std::min(wall, other.wall);
    processor = std::min(processor, other.processor);
  }
};

// Runs work(thread) on all threads at once.
Seconds timed(int threads, const std::function<void(int)>& work) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<double> processor(threads);
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
      const double begin = thread_seconds();
      work(t);
      processor[t] = thread_seconds() - begin;
    });
  }
  while (ready.load() < threads) std::this_thread::yield();
  const auto begin = Clock::now();
  go.store(true, std::memory_order_release);
  for (std::thread& thread : pool) thread.join();
  const double wall = std::chrono::duration<double>(Clock::now() - begin).count();
  return {wall, *std::max_element(processor.begin(), processor.end())};
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const std::size_t megabytes = argc > 2 ? static_cast<std::size_t>(std::atoll(argv[2])) : 1024;
  if (threads < 1 || threads > 1024 || megabytes < 1 || megabytes > (1u << 20)) {
    std::fprintf(stderr, "usage: floors THREADS [MEGABYTES]\n");
    return 2;
  }
  const std::size_t share =
      (megabytes << 20) / static_cast<std::size_t>(threads) & ~std::size_t{4095};
  const std::size_t bytes = share * static_cast<std::size_t>(threads);
  auto* data = static_cast<std::uint8_t*>(
      std::aligned_alloc(1u << 21, (bytes + (1u << 21)) & ~std::size_t{(1u << 21) - 1}));
  if (data == nullptr) {
    std::fprintf(stderr, "floors: cannot allocate %zu bytes\n", bytes);
    return 1;
  }
#if defined(__linux__)
  madvise(data, bytes, MADV_HUGEPAGE);
#endif
  timed(threads, [&](int t) { std::memset(data + share * t, t + 1, share); });

  Seconds read, multiply;
  for (int round = 0; round < 8; ++round) {
    read.keep_better(timed(threads, [&](int t) { read_bytes(data + share * t, share); }));
  }
  const std::int64_t steps = 8'000'000;
  for (int round = 0; round < 5; ++round) {
    multiply.keep_better(timed(threads, [&](int) { multiply_bytes(steps); }));
  }
  const double macs = 1.0 * steps * kChains * kMacsPerStep * threads;
  const auto print = [&](const char* clock, double read_seconds, double multiply_seconds) {
    std::printf("\"%s\": {\"read_gb_per_s\": %.3f, \"int8_gmac_per_s\": %.3f}, ", clock,
                bytes / read_seconds / 1e9, macs / multiply_seconds / 1e9);
  };
  std::printf("{");
  print("wall", read.wall, multiply.wall);
  print("processor", read.processor, multiply.processor);
  std::printf("\"instruction\": \"%s\"}\n", kInstruction);
  std::free(data);
  return 0;
}
