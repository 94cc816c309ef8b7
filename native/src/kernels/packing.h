// Writes and reads the layouts of TernaryMatrix (kernels.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace sterna {

// Bytes of one row tile of kTiles: 16 rows of `cols` columns.
std::size_t packed_tile_bytes(int cols);
// Bytes of a whole matrix.
std::size_t packed_bytes(int rows, int cols, TernaryLayout layout = TernaryLayout::kTiles);

// Packs trits [rows][cols], each -1, 0 or 1, into packed_bytes(rows, cols, layout) bytes at
// `packed`. Throws Error (kInvalidArgument) for any other value.
void pack_ternary(const std::int8_t* trits, int rows, int cols, std::uint8_t* packed,
                  TernaryLayout layout = TernaryLayout::kTiles);
// Packs rows [row_begin, row_end) of that matrix as kTiles, given alone as trits
// [row_end - row_begin][cols], into their place in the matrix's tiles. row_begin is a multiple of
// 16; row_end is one too, or the last row. Different ranges may be packed in parallel.
void pack_ternary_rows(const std::int8_t* trits, int row_begin, int row_end, int cols,
                       std::uint8_t* tiles);
// The reverse of pack_ternary. Throws Error (kInvalidArgument) for code 3.
void unpack_ternary(const std::uint8_t* packed, int rows, int cols, std::int8_t* trits,
                    TernaryLayout layout = TernaryLayout::kTiles);

}  // namespace sterna
