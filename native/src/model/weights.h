// A decoder's weights as views of a mapped bundle.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "format/bundle.h"
#include "kernels/kernels.h"
#include "kernels/quantized.h"
#include "sterna/model.h"

namespace sterna {

// A row-major [rows, cols] matrix kept in the precision of the checkpoint.
struct DenseMatrix {
  const std::uint16_t* bf16 = nullptr;  // exactly one of the two is set
  const float* f32 = nullptr;
  int rows = 0;
  int cols = 0;

  // Widens one row to out[cols].
  void row(int index, float* out) const;
};

// A row-major bf16 matrix in halves: see format/split_rows.h.
struct SplitMatrix {
  const std::uint8_t* high = nullptr;  // [rows][stride]
  const std::uint8_t* low = nullptr;   // [rows][stride]
  const float* scales = nullptr;       // [rows], as are the two below
  const float* residuals = nullptr;
  const float* norms = nullptr;
  const std::uint32_t* exception_starts = nullptr;   // [rows + 1]
  const std::uint16_t* exception_columns = nullptr;  // by row
  const std::uint16_t* exception_bits = nullptr;
  int rows = 0;
  int cols = 0;
  std::size_t stride = 0;

  // Writes one row, exactly, to out[cols].
  void row(int index, const Kernels& kernels, float* out) const;
  // Puts the exceptions of a row in their places, behind Kernels::join_halves.
  void patch(int index, float* out) const;
};

// A ternary matrix and, where linears have norms of their own, its norm [cols], or null.
struct Linear : TernaryMatrix {
  const float* norm = nullptr;
};

struct LayerWeights {
  const float* input_norm = nullptr;           // [hidden]
  const float* post_attention_norm = nullptr;  // [hidden]
  const float* attn_sub_norm = nullptr;        // [heads * head_dim], or null without sub-norms
  const float* ffn_sub_norm = nullptr;         // [intermediate], or null without sub-norms
  const float* q_norm = nullptr;               // [head_dim], or null without q/k norms
  const float* k_norm = nullptr;
  Linear q, k, v, o, gate, up, down;
};

class LoadedModel final : public Model {
 public:
  explicit LoadedModel(Bundle bundle);

  const ModelConfig& config() const override { return bundle_.config(); }
  std::int64_t parameter_count() const override { return parameter_count_; }
  std::int64_t weight_bytes() const override;

  // Writes the embedding of a token to out[hidden_size].
  void embed(int token, const Kernels& kernels, float* out) const;
  // The output head, which is the embedding when tied: in one of the four forms.
  const DenseMatrix* head() const { return head_.rows > 0 ? &head_ : nullptr; }
  const TernaryMatrix* ternary_head() const {
    return ternary_head_.rows > 0 ? &ternary_head_ : nullptr;
  }
  const QuantizedMatrix* quantized_head() const {
    return quantized_head_.rows > 0 ? &quantized_head_ : nullptr;
  }
  const SplitMatrix* split_head() const {
    return split_head_.high == nullptr ? nullptr : &split_head_;
  }
  const float* final_norm() const { return final_norm_; }
  const LayerWeights& layer(int index) const { return layers_[index]; }
  int layer_count() const { return static_cast<int>(layers_.size()); }

 private:
  void load_tables(const ModelConfig& config);
  Linear linear(const std::string& name);
  TernaryMatrix ternary(const std::string& name);
  DenseMatrix dense(const std::string& name, int rows, int cols);
  SplitMatrix split(const std::string& name, int rows, int cols);
  const float* norm(const std::string& name, int size);

  Bundle bundle_;
  DenseMatrix embedding_;  // empty when ternary, or tied to a head in another form
  TernaryMatrix ternary_embedding_;
  DenseMatrix head_;  // empty when in another form
  TernaryMatrix ternary_head_;
  SplitMatrix split_head_;
  QuantizedMatrix quantized_head_;
  const float* final_norm_ = nullptr;
  std::vector<LayerWeights> layers_;
  std::int64_t parameter_count_ = 0;
};

}  // namespace sterna
