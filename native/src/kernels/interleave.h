// Activation rows side by side, so that a kernel reads one stream of them at constant offsets.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace sterna {

// The number of passes over at most `most` rows each that `rows` > 0 rows need, and the first row
// of one of them. Passes are of nearly equal size: 13 rows at 8 are 6 and 7, not 8 and 5.
int pass_count(int rows, int most);
int pass_begin(int rows, int passes, int pass);

// Lays the rows of x out pass by pass as [block of 16 columns][row of the pass][16]; a pass that
// begins with row m begins at byte m * 16 * ceil(cols / 16). The memory belongs to the calling
// thread and is valid until its next call. One row alone has that form already and is returned as
// it is.
const std::int8_t* interleave_rows(const QuantizedRows& x, int cols, int passes);

}  // namespace sterna
