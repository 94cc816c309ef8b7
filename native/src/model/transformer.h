// The decoder: rows of tokens in, hidden states and logits out, keys and values into the cache.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "model/weights.h"
#include "ops/kv_layout.h"
#include "ops/rotary.h"
#include "sterna/request.h"

namespace sterna {

// One position of one sequence. Rows of the same sequence stand in order of position, and every
// earlier position of the sequence is in the cache or in an earlier row of the same batch.
struct BatchRow {
  TokenId token = 0;
  int position = 0;
  const std::int32_t* block_table = nullptr;  // block b holds positions 16 b .. 16 b + 15
};

// Every row is computed on its own, in a fixed order of operations: its result does not depend on
// the other rows, on the number of threads, or on whether its prefix came from the cache.
// Not thread-safe: one batch at a time.
class Transformer {
 public:
  Transformer(std::shared_ptr<const LoadedModel> model, const Kernels& kernels, ThreadPool& pool,
              int max_rows);

  int max_rows() const { return max_rows_; }

  // Computes the batch; afterwards hidden(i) is row i behind the final norm: [hidden_size].
  void forward(const std::vector<BatchRow>& rows, const KvLayout& cache);
  const float* hidden(int row) const;

  // Logits of final states [hidden_size], at most max_rows of them: hidden(i), or copies of it from
  // earlier batches. out[i * vocab_size ...] belongs to states[i].
  void logits(const std::vector<const float*>& states, float* out);

  // The steps of `forward`, for tests: states[rows][hidden_size] through one layer in place,
  // and one linear's outputs for x[rows][in]; `codes` and `steps` receive the quantized input.
  void layer(int index, const std::vector<BatchRow>& rows, const KvLayout& cache, float* states);
  void linear(const TernaryMatrix& weight, const float* x, int rows, float* y, std::int8_t* codes,
              float* steps);

 private:
  struct Projection {
    const TernaryMatrix* weight;
    float* y;
    std::size_t y_stride;
  };

  void attention_block(const LayerWeights& weights, int layer, const std::vector<BatchRow>& rows,
                       const KvLayout& cache);
  void feed_forward_block(const LayerWeights& weights, int rows);
  void attend(int layer, const std::vector<BatchRow>& rows, const KvLayout& cache);
  // states += delta (when not null); then norm (when not null) and quantization into codes_.
  void add_norm_quantize(float* states, const float* delta, const float* norm, int rows, int size);
  void quantize(const float* x, int row, int size);
  void project(int rows, std::initializer_list<Projection> projections);
  void compute_angles(const std::vector<BatchRow>& rows);

  QuantizedRows quantized(int rows, int size);

  std::shared_ptr<const LoadedModel> model_;
  const ModelConfig& config_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  const int max_rows_;
  RotaryEmbedding rotary_;

  // Activations of one batch, [max_rows][...].
  AlignedBuffer<float> states_;      // residual stream: hidden_size
  AlignedBuffer<float> normed_;      // the widest input of a linear
  AlignedBuffer<float> query_;       // heads * head_dim
  AlignedBuffer<float> key_;         // kv_heads * head_dim
  AlignedBuffer<float> value_;       // kv_heads * head_dim
  AlignedBuffer<float> attended_;    // heads * head_dim
  AlignedBuffer<float> delta_;       // hidden_size: what a block adds to the residual stream
  AlignedBuffer<float> gate_;        // intermediate_size
  AlignedBuffer<float> up_;          // intermediate_size
  AlignedBuffer<float> cos_, sin_;   // head_dim / 2
  AlignedBuffer<float> head_input_;  // hidden_size: gathered rows for the output head
  AlignedBuffer<std::int8_t> codes_;
  AlignedBuffer<float> steps_;
  AlignedBuffer<std::int32_t> sums_;
};

}  // namespace sterna
