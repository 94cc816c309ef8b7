// Rows of weights at a chosen precision, for the output head and the embedding table, and states to
// multiply them with.
//
// A row is padded with zeros to `padded` columns, whole units of sixteen groups. An element is an
// integer code times the scale of its group. Within a unit, codes stand in vectors of 64: vector v
// holds, for each group l in order, columns 4 * v .. 4 * v + 3 of the group, so that a product of
// bytes that adds four to a 32-bit lane sums sixteen groups at a time (`quantized_place`).
// The bytes of a row, without gaps and then padded to a multiple of 16:
//   codes   as code + 2^(bits - 1). int8, q8_0: one byte each. Others: with V vectors in a unit,
//           byte i of vector v < V / 2 holds the low four bits of vector v in its low half, and of
//           vector v + V / 2 in its high half
//   high    q5_0: 64 bytes for each unit; bit v of byte i belongs to vector v
//           q6_k: 64 bytes for each unit; bits 2v..2v+1 of byte i to vector v
//   scales  int8: one float32 for the row
//           q8_0, q5_0, q4_0: one bfloat16 for each group of 32 columns
//           q6_k: one int8 for each group of 16 columns, then one bfloat16 for each unit; their
//           product is the scale
// The names and group sizes are those of GGUF's types. Scales are bfloat16 rather than float16, so
// that none is too large or too small.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sterna {

enum class WeightFormat : std::uint8_t { kInt8, kQ8_0, kQ6K, kQ5_0, kQ4_0 };

inline constexpr WeightFormat kWeightFormats[] = {WeightFormat::kInt8, WeightFormat::kQ8_0,
                                                  WeightFormat::kQ6K, WeightFormat::kQ5_0,
                                                  WeightFormat::kQ4_0};

inline constexpr int kUnitGroups = 16;

// "int8", "q8_0", "q6_k", "q5_0", "q4_0".
std::string_view weight_format_name(WeightFormat format);
std::optional<WeightFormat> weight_format_from(std::string_view name);

// Where the parts of a row lie, in bytes from its beginning.
struct QuantizedLayout {
  int padded = 0;          // columns, a multiple of unit()
  int group = 0;           // columns that are summed before they are scaled
  int bits = 0;            // of a code
  bool row_scale = false;  // int8: one scale for the whole row
  std::size_t high = 0;
  std::size_t scales = 0;
  std::size_t super_scales = 0;  // q6_k only
  std::size_t row_bytes = 0;

  int unit() const { return kUnitGroups * group; }
  int groups() const { return padded / group; }
};
QuantizedLayout quantized_layout(WeightFormat format, int cols);

// Where the code of a column stands among the codes of its row.
int quantized_place(const QuantizedLayout& layout, int col);

struct QuantizedMatrix {
  const std::uint8_t* data = nullptr;  // [rows][row_bytes], 64-byte aligned
  WeightFormat format = WeightFormat::kInt8;
  int rows = 0;
  int cols = 0;

  QuantizedLayout layout() const { return quantized_layout(format, cols); }
};

// States in two digits: x ~ step * (255 * coarse + fine), digits within -127..127, so that no
// element is off by more than max|x| / 65000. A state that is not finite has zeros and a step of
// NaN.
struct QuantizedStates {
  const std::int8_t* codes = nullptr;  // [count][2][padded]: coarse, then fine; 64-byte aligned
  const std::int32_t* sums = nullptr;  // [count][2][groups]: of the codes of each group
  const float* steps = nullptr;        // [count]
  int count = 0;
};

// Fills codes[2 * padded], sums[2 * groups] and *step from x[cols].
void quantize_state(const QuantizedLayout& layout, const float* x, int cols, std::int8_t* codes,
                    std::int32_t* sums, float* step);

// One row as the reference reads it: codes[padded] in order of columns, and scales[groups].
void unpack_quantized(const QuantizedLayout& layout, const std::uint8_t* row, std::int8_t* codes,
                      float* scales);
// Writes the elements of a row to out[cols]: float(code) * scale.
void widen_quantized(const QuantizedMatrix& matrix, int row, float* out);

}  // namespace sterna
