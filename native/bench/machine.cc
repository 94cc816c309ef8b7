#include "machine.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace sterna::bench {

namespace {

volatile std::uint64_t sink;

constexpr int kChains = 12;  // independent sums: more than latency times width
constexpr int kRounds = 1000;

#if defined(__x86_64__)

__attribute__((target("avx512f,avx512vnni"))) void vnni_rounds() {
  __m512i sums[kChains];
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  __m512i a = _mm512_set1_epi8(2);
  __m512i b = _mm512_set1_epi8(3);
  for (int round = 0; round < kRounds; ++round) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
  }
  alignas(64) std::int32_t lanes[16];
  for (const auto& sum : sums) {
    _mm512_store_si512(lanes, sum);
    sink = static_cast<std::uint64_t>(lanes[0]);
  }
}

__attribute__((target("avx2"))) void maddubs_rounds() {
  __m256i sums[kChains];
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  __m256i a = _mm256_set1_epi8(2);
  __m256i b = _mm256_set1_epi8(3);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      __asm__ volatile("" : "+x"(a), "+x"(b));
      sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b));
    }
  }
  for (const auto& sum : sums) {
    sink = static_cast<std::uint64_t>(_mm256_extract_epi32(sum, 0));
  }
}

#elif defined(__aarch64__)

__attribute__((target("arch=armv8.2-a+dotprod"))) void dot_rounds() {
  int32x4_t sums[kChains];
  for (auto& sum : sums) sum = vdupq_n_s32(0);
  int8x16_t a = vdupq_n_s8(2);
  int8x16_t b = vdupq_n_s8(3);
  for (int round = 0; round < kRounds; ++round) {
    __asm__ volatile("" : "+w"(a), "+w"(b));
#pragma GCC unroll 12
    for (auto& sum : sums) sum = vdotq_s32(sum, a, b);
  }
  for (const auto& sum : sums) sink = static_cast<std::uint64_t>(vaddvq_s32(sum));
}

#endif

double peak_of(void (*rounds)(), int macs_per_instruction, int repeats) {
  const Timing timing = measure(repeats, 0.002, rounds);
  return static_cast<double>(kRounds) * kChains * macs_per_instruction / timing.best;
}

}  // namespace

Timing streaming_read(const std::vector<std::uint8_t>& memory, int repeats) {
  const Timing timing = measure(repeats, 0.0, [&] {
    std::uint64_t sums[16] = {};
    for (std::size_t i = 0; i + sizeof sums <= memory.size(); i += sizeof sums) {
      __builtin_prefetch(memory.data() + i + 4096);
      std::uint64_t words[16];
      std::memcpy(words, memory.data() + i, sizeof words);
      for (int j = 0; j < 16; ++j) sums[j] += words[j];
    }
    for (const std::uint64_t sum : sums) sink = sum;
  });
  const auto bytes = static_cast<double>(memory.size());
  return {bytes / timing.best, bytes / timing.median};
}

double int8_peak(const std::string& table, int repeats) {
#if defined(__x86_64__)
  if (table == "avx512_vnni") return peak_of(vnni_rounds, 64, repeats);
  if (table == "avx2") return peak_of(maddubs_rounds, 32, repeats);
#elif defined(__aarch64__)
  if (table == "neon_dotprod") return peak_of(dot_rounds, 16, repeats);
#endif
  (void)table;
  (void)repeats;
  return 0.0;
}

}  // namespace sterna::bench
