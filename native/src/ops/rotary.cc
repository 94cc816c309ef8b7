#include "ops/rotary.h"

#include <cmath>

namespace sterna {

RotaryEmbedding::RotaryEmbedding(double theta, int head_dim) : inverse_frequency_(head_dim / 2) {
  for (int i = 0; i < head_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const float power = static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    inverse_frequency_[i] = 1.0f / power;
  }
}

void RotaryEmbedding::angles(int position, float* cos, float* sin) const {
  for (std::size_t i = 0; i < inverse_frequency_.size(); ++i) {
    const float angle = static_cast<float>(position) * inverse_frequency_[i];
    // Double precision, then one rounding: the same bits from every C library.
    cos[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
    sin[i] = static_cast<float>(std::sin(static_cast<double>(angle)));
  }
}

}  // namespace sterna
