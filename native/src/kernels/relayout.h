// The same matrix in another layout, made from its row tiles.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace sterna {

// Rows [16 * tile_begin, 16 * tile_end) of `tiles` (kTiles) to their places in a kRows matrix of
// the same shape at `out`, packed_bytes(rows, cols, kRows) long. Ranges may be written in parallel.
void copy_as_rows(const TernaryMatrix& tiles, int tile_begin, int tile_end, std::uint8_t* out);

// Rows [256 * line_begin, 256 * line_end) of `tiles` (kTiles) to their places in a kColumns matrix
// of the same shape at `out`. Ranges may be written in parallel.
void copy_as_columns(const TernaryMatrix& tiles, int line_begin, int line_end, std::uint8_t* out);

}  // namespace sterna
