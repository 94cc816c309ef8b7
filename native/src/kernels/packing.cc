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

// Where an element lies, for the layouts by rows and by columns.
struct Place {
  std::size_t byte;
  int shift;
};
Place place_of(const TernaryMatrix& w, int row, int col) {
  const std::size_t stride = w.line_bytes();
  if (w.layout == TernaryLayout::kRows) {
    return {row * stride + static_cast<std::size_t>(col / 16) * 4 + col % 4, shift_of(col % 16)};
  }
  const int r = row % 256;
  const int byte = 16 * (r % 16 / 4) + 4 * (r / 64) + r % 4;
  return {col * stride + static_cast<std::size_t>(row / 256) * 64 + byte, 2 * (r % 64 / 16)};
}

int checked(int trit, int row, int col) {
  if (trit < -1 || trit > 1) {
    throw Error(ErrorCode::kInvalidArgument,
                "a ternary weight must be -1, 0 or 1, got " + std::to_string(trit) + " at row " +
                    std::to_string(row) + ", column " + std::to_string(col));
  }
  return trit;
}

// The bytes hold code 1: adding the trit in place never borrows or carries.
void add_trit(std::uint8_t& byte, int trit, int shift) {
  byte = static_cast<std::uint8_t>(byte + trit * (1 << shift));
}

void pack_lines(const std::int8_t* trits, const TernaryMatrix& w, std::uint8_t* packed) {
  constexpr int kStep = 64;  // columns at a time, so that by columns their lines stay in the cache
  std::memset(packed, kZeroBlock, packed_bytes(w.rows, w.cols, w.layout));
  for (int begin = 0; begin < w.cols; begin += kStep) {
    const int end = std::min(begin + kStep, w.cols);
    for (int row = 0; row < w.rows; ++row) {
      const std::int8_t* source = trits + static_cast<std::size_t>(row) * w.cols;
      for (int col = begin; col < end; ++col) {
        const Place place = place_of(w, row, col);
        add_trit(packed[place.byte], checked(source[col], row, col), place.shift);
      }
    }
  }
}

}  // namespace

std::size_t packed_tile_bytes(int cols) { return col_blocks(cols) * kTileBytes; }

std::size_t packed_bytes(int rows, int cols, TernaryLayout layout) {
  const TernaryMatrix w{nullptr, rows, cols, 1.0f, layout};
  if (layout == TernaryLayout::kRows) return static_cast<std::size_t>(rows) * w.line_bytes();
  if (layout == TernaryLayout::kColumns) return static_cast<std::size_t>(cols) * w.line_bytes();
  const std::size_t tiles = (static_cast<std::size_t>(rows) + kTileRows - 1) / kTileRows;
  return tiles * packed_tile_bytes(cols);
}

void pack_ternary(const std::int8_t* trits, int rows, int cols, std::uint8_t* packed,
                  TernaryLayout layout) {
  if (layout == TernaryLayout::kTiles) {
    pack_ternary_rows(trits, 0, rows, cols, packed);
  } else {
    pack_lines(trits, {nullptr, rows, cols, 1.0f, layout}, packed);
  }
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
          add_trit(block[byte_of(row, c)], checked(trit, tile_row + row, col + c), shift_of(c));
        }
      }
      std::memcpy(tile + static_cast<std::size_t>(col / kTileCols) * kTileBytes, block,
                  sizeof block);
    }
  }
}

void unpack_ternary(const std::uint8_t* packed, int rows, int cols, std::int8_t* trits,
                    TernaryLayout layout) {
  const TernaryMatrix w{nullptr, rows, cols, 1.0f, layout};
  for (int row = 0; row < rows; ++row) {
    for (int col = 0; col < cols; ++col) {
      Place place;
      if (layout == TernaryLayout::kTiles) {
        const std::size_t block =
            row / kTileRows * col_blocks(cols) + static_cast<std::size_t>(col / kTileCols);
        const int c = col % kTileCols;
        place = {block * kTileBytes + byte_of(row % kTileRows, c), shift_of(c)};
      } else {
        place = place_of(w, row, col);
      }
      const int code = packed[place.byte] >> place.shift & 3;
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
