// What goes into and comes out of matrices whose columns have scales by groups.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace sterna {

// Rounds each group of a row's columns by itself: x[n] to codes[stride] (zero padded),
// steps[groups] and sums[groups], groups = ceil(n / group). `group` and `stride` are multiples
// of 64.
void quantize_groups(const Kernels& kernels, const float* x, int n, int group, std::int8_t* codes,
                     int stride, float* steps, std::int32_t* sums);

// Writes one row of a matrix with groups, as floats, to out[cols].
void ternary_row(const TernaryMatrix& w, int row, float* out);

}  // namespace sterna
