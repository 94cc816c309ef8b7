// Rotary position embedding (RoFormer, arXiv 2104.09864) in the half-split form of Llama.
#pragma once

#include <vector>

namespace sterna {

class RotaryEmbedding {
 public:
  RotaryEmbedding(double theta, int head_dim);

  // Writes the cosines and sines of `position`'s angles: head_dim / 2 values each.
  // Angles are formed in single precision, as the training frameworks do.
  void angles(int position, float* cos, float* sin) const;

 private:
  std::vector<float> inverse_frequency_;  // theta ** (-2 i / head_dim)
};

}  // namespace sterna
