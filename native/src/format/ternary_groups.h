// Floats that are ternary as they are: in every row, a group of columns holds -s, 0 and s only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "format/safetensors.h"

namespace sterna {

// The half with this value; none when there is no such half. A zero has its sign.
std::optional<std::uint16_t> exact_half(float value);

// Splits row[cols] into trits[cols] and scales[ceil(cols / group)], so that trit * scale is each
// value; a group of zeros has the scale 0. Returns the first column that does not fit, or -1. A
// value that is not finite does not fit.
int split_groups(std::span<const float> row, int group, std::int8_t* trits, float* scales);

struct GroupScan {
  bool ternary = true;
  bool half_scales = true;  // every scale is a half
  int row = 0;              // where it is not ternary
  int col = 0;
  float value = 0.0f;  // there
};

// Reads a float tensor [rows, cols] as far as it is ternary.
GroupScan scan_groups(const TensorView& tensor, int group);

}  // namespace sterna
