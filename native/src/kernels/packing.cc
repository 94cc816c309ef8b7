#include "kernels/packing.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/kernels.h"
#include "sterna/error.h"

namespace sterna {

namespace {

constexpr std::uint8_t kZeroBlock = 0x55;  // four codes of 1

std::size_t col_blocks(int cols) {
  return (static_cast<std::size_t>(cols) + kTileCols - 1) / kTileCols;
}

// Where column c of row r lies within a 64-byte block, and at which bit.
int byte_of(int row, int col) { return 4 * row + col % 4; }
int shift_of(int col) { return 2 * (col / 4); }

}  // namespace

std::size_t packed_tile_bytes(int cols) { return col_blocks(cols) * kTileBytes; }

std::size_t packed_bytes(int rows, int cols) {
  const std::size_t tiles = (static_cast<std::size_t>(rows) + kTileRows - 1) / kTileRows;
  return tiles * packed_tile_bytes(cols);
}

void pack_ternary(const std::int8_t* trits, int rows, int cols, std::uint8_t* tiles) {
  pack_ternary_rows(trits, 0, rows, cols, tiles);
}

void pack_ternary_rows(const std::int8_t* trits, int row_begin, int row_end, int cols,
                       std::uint8_t* tiles) {
  if (row_begin % kTileRows != 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "row_begin must be a multiple of 16, got " + std::to_string(row_begin),
                "row_begin");
  }
  for (int tile_row = row_begin; tile_row < row_end; tile_row += kTileRows) {
    const int rows = std::min(kTileRows, row_end - tile_row);
    const std::int8_t* source = trits + static_cast<std::size_t>(tile_row - row_begin) * cols;
    std::uint8_t* tile = tiles + tile_row / kTileRows * packed_tile_bytes(cols);
    for (int col = 0; col < cols; col += kTileCols) {
      std::uint8_t block[kTileBytes];
      std::memset(block, kZeroBlock, sizeof block);
      const int width = std::min(kTileCols, cols - col);
      for (int row = 0; row < rows; ++row) {
        for (int c = 0; c < width; ++c) {
          const int trit = source[static_cast<std::size_t>(row) * cols + col + c];
          if (trit < -1 || trit > 1) {
            throw Error(ErrorCode::kInvalidArgument, "a ternary weight must be -1, 0 or 1, got " +
                                                         std::to_string(trit) + " at row " +
                                                         std::to_string(tile_row + row) +
                                                         ", column " + std::to_string(col + c));
          }
          // The block holds code 1: adding the trit in place never borrows or carries.
          std::uint8_t& byte = block[byte_of(row, c)];
          byte = static_cast<std::uint8_t>(byte + trit * (1 << shift_of(c)));
        }
      }
      std::memcpy(tile + static_cast<std::size_t>(col / kTileCols) * kTileBytes, block,
                  sizeof block);
    }
  }
}

void unpack_ternary(const std::uint8_t* tiles, int rows, int cols, std::int8_t* trits) {
  for (int row = 0; row < rows; ++row) {
    const std::uint8_t* tile = tiles + row / kTileRows * packed_tile_bytes(cols);
    for (int col = 0; col < cols; ++col) {
      const std::uint8_t* block = tile + static_cast<std::size_t>(col / kTileCols) * kTileBytes;
      const int c = col % kTileCols;
      const int code = block[byte_of(row % kTileRows, c)] >> shift_of(c) & 3;
      if (code == 3) {
        throw Error(ErrorCode::kInvalidArgument, "code 3 is not a ternary weight, at row " +
                                                     std::to_string(row) + ", column " +
                                                     std::to_string(col));
      }
      trits[static_cast<std::size_t>(row) * cols + col] = static_cast<std::int8_t>(code - 1);
    }
  }
}

}  // namespace sterna
