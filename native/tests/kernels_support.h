// Helpers of the kernel tests: aligned memory, random data, comparison bit for bit.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "kernels/kernels.h"
#include "kernels/packing.h"

namespace sterna::test {

template <typename T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <typename U>
  explicit AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(std::size_t n) {
    return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{64}));
  }
  void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t{64}); }
  bool operator==(const AlignedAllocator&) const { return true; }
};

template <typename T>
using Aligned = std::vector<T, AlignedAllocator<T>>;

// Every table but the reference, with a name for failures.
inline std::vector<const Kernels*> tables_to_test() {
  std::vector<const Kernels*> tables = available_kernels();
  tables.pop_back();
  return tables;
}

inline std::vector<float> random_floats(std::size_t n, unsigned seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(n);
  for (float& value : values) value = normal(generator);
  return values;
}

inline std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline float float_of(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Equal bits; any NaN equals any other.
inline bool same_bits(float a, float b) {
  return bits_of(a) == bits_of(b) || (std::isnan(a) && std::isnan(b));
}

// Reports the first difference only.
inline void check_same_bits(const float* expected, const float* actual, std::size_t n,
                            const std::string& what) {
  for (std::size_t i = 0; i < n; ++i) {
    if (same_bits(expected[i], actual[i])) continue;
    std::cerr << what << ": element " << i << " of " << n << ": expected " << expected[i] << " ("
              << std::hex << bits_of(expected[i]) << "), got " << std::dec << actual[i] << " ("
              << std::hex << bits_of(actual[i]) << ")" << std::dec << "\n";
    report_failure(what.c_str(), 0, "differs from the reference");
    return;
  }
}

// A packed matrix and the trits it came from.
struct PackedMatrix {
  std::vector<std::int8_t> trits;
  Aligned<std::uint8_t> tiles;
  TernaryMatrix matrix;
};

// `trit` is a function of row and column.
template <typename Trit>
PackedMatrix packed_matrix(int rows, int cols, float scale, Trit trit) {
  PackedMatrix packed;
  packed.trits.resize(static_cast<std::size_t>(rows) * cols);
  for (int row = 0; row < rows; ++row) {
    for (int col = 0; col < cols; ++col) {
      packed.trits[static_cast<std::size_t>(row) * cols + col] =
          static_cast<std::int8_t>(trit(row, col));
    }
  }
  packed.tiles.resize(packed_bytes(rows, cols));
  pack_ternary(packed.trits.data(), rows, cols, packed.tiles.data());
  packed.matrix = {packed.tiles.data(), rows, cols, scale};
  return packed;
}

// Activation codes with their sums, and the view of them that kernels take.
struct CodeRows {
  Aligned<std::int8_t> codes;
  std::vector<float> steps;
  std::vector<std::int32_t> sums;
  QuantizedRows rows;
};

// `code` is a function of row and column.
template <typename Code>
CodeRows code_rows(int rows, int cols, Code code) {
  CodeRows result;
  const int stride = (cols + 63) / 64 * 64;
  result.codes.assign(static_cast<std::size_t>(rows) * stride, 0);
  result.sums.assign(rows, 0);
  for (int row = 0; row < rows; ++row) {
    result.steps.push_back(0.0123f * static_cast<float>(row + 1));
    for (int col = 0; col < cols; ++col) {
      const int value = code(row, col);
      result.codes[static_cast<std::size_t>(row) * stride + col] = static_cast<std::int8_t>(value);
      result.sums[row] += value;
    }
  }
  result.rows = {result.codes.data(), result.steps.data(), result.sums.data(), rows, stride};
  return result;
}

}  // namespace sterna::test
