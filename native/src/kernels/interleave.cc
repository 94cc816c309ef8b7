#include "kernels/interleave.h"

#include <cstddef>
#include <cstring>

#include "base/aligned_buffer.h"

namespace sterna {

int pass_count(int rows, int most) { return (rows + most - 1) / most; }

int pass_begin(int rows, int passes, int pass) {
  return static_cast<int>(static_cast<std::int64_t>(rows) * pass / passes);
}

const std::int8_t* interleave_rows(const QuantizedRows& x, int cols, int passes) {
  if (x.rows == 1) return x.codes;
  const std::size_t blocks = (static_cast<std::size_t>(cols) + kTileCols - 1) / kTileCols;
  const std::size_t stride = static_cast<std::size_t>(x.stride);
  const std::size_t size = static_cast<std::size_t>(x.rows) * blocks * kTileCols;
  // Kept: a thread computes the same few shapes over and over.
  thread_local AlignedBuffer<std::int8_t> memory;
  if (memory.size() < size) memory = AlignedBuffer<std::int8_t>(size);
  std::int8_t* target = memory.data();
  for (int pass = 0; pass < passes; ++pass) {
    const int begin = pass_begin(x.rows, passes, pass);
    const int end = pass_begin(x.rows, passes, pass + 1);
    for (std::size_t b = 0; b < blocks; ++b) {
      for (int m = begin; m < end; ++m, target += kTileCols) {
        std::memcpy(target, x.codes + m * stride + b * kTileCols, kTileCols);
      }
    }
  }
  return memory.data();
}

}  // namespace sterna
