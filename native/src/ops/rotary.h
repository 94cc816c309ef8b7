// Rotary position embedding (RoFormer, arXiv 2104.09864) in the half-split form of Llama, with the
// scalings of the reference library (modeling_rope_utils.py of transformers).
#pragma once

#include <vector>

#include "sterna/model.h"

namespace sterna {

class RotaryEmbedding {
 public:
  explicit RotaryEmbedding(const ModelConfig& config);

  // Writes the cosines and sines of `position`'s angles, times the attention factor: head_dim / 2
  // values each. Angles are formed in single precision, as the training frameworks do. `long_text`
  // takes the long factors of LongRoPE and means nothing else.
  void angles(int position, bool long_text, float* cos, float* sin) const;

  // The angles' slopes, [head_dim / 2].
  const std::vector<float>& frequencies(bool long_text) const {
    return long_text && !long_frequencies_.empty() ? long_frequencies_ : frequencies_;
  }

 private:
  std::vector<float> frequencies_;
  std::vector<float> long_frequencies_;  // empty unless the type is LongRoPE
  float attention_factor_;
};

}  // namespace sterna
