#include "machine.h"

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
// Every loop over the sums is unrolled, else the compiler keeps them in memory; the empty
// statements hide from it that all sums are equal.

#if defined(__x86_64__)
__attribute__((target("avx2")))
#endif
void read_lines(const std::uint8_t* memory, std::size_t size) {
  using Vector = std::uint64_t __attribute__((vector_size(32)));
  const auto* vectors = reinterpret_cast<const Vector*>(memory);
  Vector sums[4] = {};
  for (std::size_t i = 0; i < size / sizeof(Vector); i += 4) {
    // The last line of the page after the next: see avx512_vnni.cc.
    if (i * sizeof(Vector) % 4096 == 0) __builtin_prefetch(vectors + i + 3 * 128 - 2);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sums[j] += vectors[i + j];
  }
  sink = (sums[0] + sums[1] + sums[2] + sums[3])[0];
}

#if defined(__x86_64__)

__attribute__((target("avx512f,avx512vnni"))) void vnni_rounds() {
  __m512i sums[kChains];
#pragma GCC unroll 12
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  __m512i a = _mm512_set1_epi8(2);
  __m512i b = _mm512_set1_epi8(3);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, a, b);
      __asm__ volatile("" : "+v"(sum), "+v"(a));
    }
  }
  __m512i total = _mm512_setzero_si512();
#pragma GCC unroll 12
  for (const auto& sum : sums) total = _mm512_add_epi32(total, sum);
  alignas(64) std::int32_t lanes[16];
  _mm512_store_si512(lanes, total);
  sink = static_cast<std::uint64_t>(lanes[0]);
}

__attribute__((target("avx2,avxvnni"))) void avx_vnni_rounds() {
  __m256i sums[kChains];
#pragma GCC unroll 12
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  __m256i a = _mm256_set1_epi8(2);
  __m256i b = _mm256_set1_epi8(3);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = _mm256_dpbusd_avx_epi32(sum, a, b);
      __asm__ volatile("" : "+x"(sum), "+x"(a));
    }
  }
  __m256i total = _mm256_setzero_si256();
#pragma GCC unroll 12
  for (const auto& sum : sums) total = _mm256_add_epi32(total, sum);
  sink = static_cast<std::uint64_t>(_mm256_extract_epi32(total, 0));
}

__attribute__((target("avx512f"))) void fma512_rounds() {
  __m512 sums[kChains];
#pragma GCC unroll 12
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  __m512 a = _mm512_set1_ps(0.5f);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = _mm512_fmadd_ps(sum, a, a);
      __asm__ volatile("" : "+v"(sum), "+v"(a));
    }
  }
  __m512 total = _mm512_setzero_ps();
#pragma GCC unroll 12
  for (const auto& sum : sums) total = _mm512_add_ps(total, sum);
  sink = static_cast<std::uint64_t>(_mm512_cvtss_f32(total));
}

__attribute__((target("avx2,fma"))) void fma256_rounds() {
  __m256 sums[kChains];
#pragma GCC unroll 12
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  __m256 a = _mm256_set1_ps(0.5f);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = _mm256_fmadd_ps(sum, a, a);
      __asm__ volatile("" : "+x"(sum), "+x"(a));
    }
  }
  __m256 total = _mm256_setzero_ps();
#pragma GCC unroll 12
  for (const auto& sum : sums) total = _mm256_add_ps(total, sum);
  sink = static_cast<std::uint64_t>(_mm256_cvtss_f32(total));
}

__attribute__((target("avx2"))) void maddubs_rounds() {
  __m256i sums[kChains];
#pragma GCC unroll 12
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  __m256i a = _mm256_set1_epi8(2);
  __m256i b = _mm256_set1_epi8(3);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b));
      __asm__ volatile("" : "+x"(sum), "+x"(a));
    }
  }
  __m256i total = _mm256_setzero_si256();
#pragma GCC unroll 12
  for (const auto& sum : sums) total = _mm256_add_epi16(total, sum);
  sink = static_cast<std::uint64_t>(_mm256_extract_epi32(total, 0));
}

#elif defined(__aarch64__)

__attribute__((target("arch=armv8.2-a+dotprod"))) void dot_rounds() {
  int32x4_t sums[kChains];
#pragma GCC unroll 12
  for (auto& sum : sums) sum = vdupq_n_s32(0);
  int8x16_t a = vdupq_n_s8(2);
  int8x16_t b = vdupq_n_s8(3);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = vdotq_s32(sum, a, b);
      __asm__ volatile("" : "+w"(sum), "+w"(a));
    }
  }
  int32x4_t total = vdupq_n_s32(0);
#pragma GCC unroll 12
  for (const auto& sum : sums) total = vaddq_s32(total, sum);
  sink = static_cast<std::uint64_t>(vaddvq_s32(total));
}

void fma_rounds() {
  float32x4_t sums[kChains];
#pragma GCC unroll 12
  for (auto& sum : sums) sum = vdupq_n_f32(0);
  float32x4_t a = vdupq_n_f32(0.5f);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = vfmaq_f32(a, sum, a);
      __asm__ volatile("" : "+w"(sum), "+w"(a));
    }
  }
  float32x4_t total = vdupq_n_f32(0);
#pragma GCC unroll 12
  for (const auto& sum : sums) total = vaddq_f32(total, sum);
  sink = static_cast<std::uint64_t>(vaddvq_f32(total));
}

#endif

Int8Work work_of(void (*rounds)(), int macs_per_instruction) {
  return {rounds, static_cast<double>(kRounds) * kChains * macs_per_instruction};
}

}  // namespace

void read_memory(const std::uint8_t* memory, std::size_t size) { read_lines(memory, size); }

Int8Work int8_work(const std::string& table) {
#if defined(__x86_64__)
  // On hosts with both widths the wider one is no slower.
  if (table == "avx512_vnni" || table == "avx512vl_vnni") return work_of(vnni_rounds, 64);
  if (table == "avx_vnni") return work_of(avx_vnni_rounds, 32);
  if (table == "avx2") return work_of(maddubs_rounds, 32);
#elif defined(__aarch64__)
  if (table == "neon_dotprod" || table == "neon_i8mm") return work_of(dot_rounds, 16);
#endif
  (void)table;
  return {};
}

Timing streaming_read(const std::uint8_t* memory, std::size_t size, int repeats) {
  const Timing timing = measure(repeats, 0.0, [&] { read_lines(memory, size); });
  const auto bytes = static_cast<double>(size);
  return {bytes / timing.best, bytes / timing.median};
}

double int8_peak(const std::string& table, int repeats) {
  const Int8Work work = int8_work(table);
  if (work.run == nullptr) return 0.0;
  return work.macs / measure(repeats, 0.002, work.run).best;
}

double float_peak(const std::string& table, int repeats) {
  Int8Work work;
#if defined(__x86_64__)
  if (table == "avx512_vnni") work = work_of(fma512_rounds, 16);
  if (table == "avx2") work = work_of(fma256_rounds, 8);
#elif defined(__aarch64__)
  if (table == "neon_dotprod") work = work_of(fma_rounds, 4);
#endif
  if (work.run == nullptr) return 0.0;
  return work.macs / measure(repeats, 0.002, work.run).best;
}

}  // namespace sterna::bench
