// The plain product with quantized rows, for reference.cc.
#pragma once

#include <cstddef>

#include "kernels/quantized.h"

namespace sterna {

void matmul_quantized_reference(const QuantizedMatrix& w, int row_begin, int row_end,
                                const QuantizedStates& x, float* y, std::size_t y_stride);

}  // namespace sterna
