// Rounds rows of floats to the formats of kernels/quantized.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/quantized.h"

namespace sterna {

// Rounds row[cols], finite numbers, to row_bytes bytes at `out`. A group's scale maps its largest
// value onto the largest code: for int8 and q8_0 onto 127, for the others, with its sign, onto the
// most negative one, of which there is one more.
class RowQuantizer {
 public:
  RowQuantizer(WeightFormat format, int cols);
  const QuantizedLayout& layout() const { return layout_; }
  void quantize(std::span<const float> row, std::uint8_t* out);

 private:
  float scale_of(const float* values, int count) const;
  void encode(const float* values, float scale, int begin);
  void store_codes(std::uint8_t* out) const;

  const WeightFormat format_;
  const QuantizedLayout layout_;
  std::vector<float> values_;       // [padded]
  std::vector<std::int8_t> codes_;  // [padded]
};

}  // namespace sterna
