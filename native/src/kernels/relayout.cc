#include "kernels/relayout.h"

#include <algorithm>
#include <cstring>

namespace sterna {

namespace {

constexpr std::uint8_t kZeroByte = 0x55;  // four codes of 1
constexpr int kTilesOfQuarter = 4;        // 64 rows of a line
constexpr int kQuarters = 4;

// Four bytes' four codes each, transposed: code s of byte f to code f of byte s.
void transpose_codes(const std::uint8_t (&in)[4][kTileBytes], std::uint8_t (&out)[4][kTileBytes]) {
  for (int i = 0; i < kTileBytes; ++i) {
    const unsigned a = in[0][i];
    const unsigned b = in[1][i];
    const unsigned c = in[2][i];
    const unsigned d = in[3][i];
    const unsigned even_ab = (a & 0x33u) | (b & 0x33u) << 2;
    const unsigned odd_ab = (a >> 2 & 0x33u) | (b & 0xccu);
    const unsigned even_cd = (c & 0x33u) | (d & 0x33u) << 2;
    const unsigned odd_cd = (c >> 2 & 0x33u) | (d & 0xccu);
    out[0][i] = static_cast<std::uint8_t>((even_ab & 0x0fu) | even_cd << 4);
    out[1][i] = static_cast<std::uint8_t>((odd_ab & 0x0fu) | odd_cd << 4);
    out[2][i] = static_cast<std::uint8_t>(even_ab >> 4 | (even_cd & 0xf0u));
    out[3][i] = static_cast<std::uint8_t>(odd_ab >> 4 | (odd_cd & 0xf0u));
  }
}

}  // namespace

void copy_as_rows(const TernaryMatrix& tiles, int tile_begin, int tile_end, std::uint8_t* out) {
  const TernaryMatrix shape{nullptr, tiles.rows, tiles.cols, 1.0f, TernaryLayout::kRows};
  const std::size_t stride = shape.line_bytes();
  const auto blocks = static_cast<std::size_t>(tiles.col_blocks());
  for (int tile = tile_begin; tile < tile_end; ++tile) {
    const std::uint8_t* source = tiles.tiles + tile * blocks * kTileBytes;
    const int rows = std::min(kTileRows, tiles.rows - tile * kTileRows);
    for (int row = 0; row < rows; ++row) {
      std::uint8_t* target = out + (static_cast<std::size_t>(tile) * kTileRows + row) * stride;
      for (std::size_t block = 0; block < blocks; ++block) {
        std::memcpy(target + 4 * block, source + block * kTileBytes + 4 * row, 4);
      }
      std::memset(target + 4 * blocks, kZeroByte, stride - 4 * blocks);
    }
  }
}

void copy_as_columns(const TernaryMatrix& tiles, int line_begin, int line_end, std::uint8_t* out) {
  const TernaryMatrix shape{nullptr, tiles.rows, tiles.cols, 1.0f, TernaryLayout::kColumns};
  const std::size_t stride = shape.line_bytes();
  const auto blocks = static_cast<std::size_t>(tiles.col_blocks());
  for (int line = line_begin; line < line_end; ++line) {
    for (std::size_t block = 0; block < blocks; ++block) {
      // Sixteen columns of one line, gathered here and written column by column.
      std::uint8_t columns[kTileCols][64];
      for (int quarter = 0; quarter < kQuarters; ++quarter) {
        std::uint8_t in[kTilesOfQuarter][kTileBytes];
        for (int s = 0; s < kTilesOfQuarter; ++s) {
          const int tile = (line * kQuarters + quarter) * kTilesOfQuarter + s;
          if (tile < tiles.row_tiles()) {
            std::memcpy(in[s], tiles.tiles + (tile * blocks + block) * kTileBytes, kTileBytes);
          } else {
            std::memset(in[s], kZeroByte, kTileBytes);
          }
        }
        std::uint8_t turned[4][kTileBytes];  // [group of four columns][row][column of the group]
        transpose_codes(in, turned);
        for (int col = 0; col < kTileCols; ++col) {
          for (int row = 0; row < kTileRows; ++row) {
            columns[col][16 * (row / 4) + 4 * quarter + row % 4] =
                turned[col / 4][4 * row + col % 4];
          }
        }
      }
      const int first = static_cast<int>(block) * kTileCols;
      const int width = std::min(kTileCols, tiles.cols - first);
      for (int col = 0; col < width; ++col) {
        std::memcpy(out + static_cast<std::size_t>(first + col) * stride +
                        static_cast<std::size_t>(line) * 64,
                    columns[col], 64);
      }
    }
  }
}

}  // namespace sterna
