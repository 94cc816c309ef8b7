// From a checkpoint's weights to trits, a few rows at a time.
#pragma once

#include <cstdint>
#include <span>

#include "format/dtype.h"

namespace sterna {

// Packed weights: U8 [rows / 4, cols]. Bits 2i..2i+1 of byte [r, c] hold row i * (rows / 4) + r,
// column c, as the code t + 1; code 3 means nothing. `rows` is a multiple of 4.

// Whether any of the four codes of any byte is 3.
bool has_invalid_code(std::span<const std::uint8_t> packed);

// Writes rows [begin, end) to trits[end - begin][cols].
void unpack_rows(const std::uint8_t* packed, int rows, int cols, int begin, int end,
                 std::int8_t* trits);

// Latent weights: floats W [rows, cols] of which T = clamp(round_half_even(W * k), -1, 1) is used,
// with k = 1 / max(mean |W|, 1e-5), and y = x T / k. The mean is taken over all elements, widened
// exactly to float: it is summed in double, rows first, and rounded once to float; everything
// after it is float arithmetic. The reference library sums in float, in an order that follows its
// vector width and thread count, so its mean is this one within a few units in the last place, and
// the trits are the same unless some |W| * k lies that close to one half. On random matrices of
// 2560 x 6912 the means differed by at most one unit, and 2 of 212 million float32 trits and none
// of the bfloat16 ones did.
struct AbsMean {
  bool finite = false;  // false: some weight is NaN or infinite, and the rest has no meaning
  float k = 0.0f;
  float scale = 0.0f;  // 1 / k, to multiply with
};

// `bytes`: rows * cols elements of a float dtype, any alignment.
AbsMean absmean(Dtype dtype, const std::uint8_t* bytes, int rows, int cols);

// Writes rows [begin, end) to trits[end - begin][cols].
void ternarize_rows(Dtype dtype, const std::uint8_t* bytes, int cols, int begin, int end, float k,
                    std::int8_t* trits);

}  // namespace sterna
