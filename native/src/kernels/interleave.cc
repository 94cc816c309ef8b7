#include "kernels/interleave.h"

#include <cstddef>
#include <cstring>
#include <new>

namespace sterna {

namespace {

constexpr std::align_val_t kAlignment{64};

// Grows and is kept: a thread computes the same few shapes over and over.
class Scratch {
 public:
  Scratch() = default;
  ~Scratch() { release(); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::int8_t* reserve(std::size_t size) {
    if (size > capacity_) {
      release();
      data_ = static_cast<std::int8_t*>(::operator new(size, kAlignment));
      capacity_ = size;
    }
    return data_;
  }

 private:
  void release() {
    ::operator delete(data_, kAlignment);
    data_ = nullptr;
    capacity_ = 0;
  }

  std::int8_t* data_ = nullptr;
  std::size_t capacity_ = 0;
};

thread_local Scratch scratch;

}  // namespace

int pass_count(int rows, int most) { return (rows + most - 1) / most; }

int pass_begin(int rows, int passes, int pass) {
  return static_cast<int>(static_cast<std::int64_t>(rows) * pass / passes);
}

const std::int8_t* interleave_rows(const QuantizedRows& x, int cols, int passes) {
  if (x.rows == 1) return x.codes;
  const std::size_t blocks = (static_cast<std::size_t>(cols) + kTileCols - 1) / kTileCols;
  const std::size_t stride = static_cast<std::size_t>(x.stride);
  std::int8_t* out = scratch.reserve(static_cast<std::size_t>(x.rows) * blocks * kTileCols);
  std::int8_t* target = out;
  for (int pass = 0; pass < passes; ++pass) {
    const int begin = pass_begin(x.rows, passes, pass);
    const int end = pass_begin(x.rows, passes, pass + 1);
    for (std::size_t b = 0; b < blocks; ++b) {
      for (int m = begin; m < end; ++m, target += kTileCols) {
        std::memcpy(target, x.codes + m * stride + b * kTileCols, kTileCols);
      }
    }
  }
  return out;
}

}  // namespace sterna
