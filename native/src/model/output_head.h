// The output head: logits of every token, or a first look at half of its bytes with a bound on what
// the other half can change, and then the logits of those tokens that matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "model/weights.h"
#include "sterna/request.h"

namespace sterna {

// Logits of one state that are close to the exact ones, which are those of OutputHead::logits:
//   |exact(t) - approximate[t]| <= error(t), for every token t.
//
// With w the row of t, w' = 256 * scale * (high - 128) its codes' values and x' the state in two
// digits of int8, both are dot products: w' x' is computed in integers, and
//   |w x - w' x'| = |(w - w') x + w' (x - x')| <= |w - w'| |x| + |w'| |x - x'|
// by Cauchy and Schwarz. The norms that belong to rows are kept with them. What the two
// computations round is bounded by multiples of the norms as well, see OutputHead::screen.
struct ScreenedLogits {
  const float* approximate = nullptr;  // [tokens]
  const float* residuals = nullptr;    // |w - w'| of each row
  const float* norms = nullptr;        // max(|w|, |w'|) of each row
  float per_residual = 0.0f;
  float per_norm = 0.0f;
  int tokens = 0;
  const Kernels* kernels = nullptr;
  // The largest lower and the largest upper bound within each kScreenBlock tokens.
  std::vector<float> block_lower;
  std::vector<float> block_upper;

  // In float, with room for its own roundings and those of the two sums below.
  float error(int token) const {
    return kLeast + (per_residual * residuals[token] + per_norm * norms[token]);
  }
  float lower(int token) const { return approximate[token] - error(token); }
  float upper(int token) const { return approximate[token] + error(token); }

  // More than everything that is lost to underflow.
  static constexpr float kLeast = 1e-30f;
};

inline constexpr int kScreenBlock = 64;

// Not thread-safe, but for exact().
class OutputHead {
 public:
  // At most `max_states` at a time.
  OutputHead(const LoadedModel& model, const Kernels& kernels, ThreadPool& pool, int max_states);

  // out[i * vocab_size + t] is the logit of token t for states[i], each [hidden_size].
  void logits(const std::vector<const float*>& states, float* out);

  // Whether the head lies in halves, so that screening reads half of it.
  bool can_screen() const { return split_ != nullptr; }
  // Whether the bounds hold for a state: it is finite, not zero, and nothing can overflow.
  bool can_screen(const float* state) const;
  // As logits(), for states that can be screened: out holds the approximate logits and must outlive
  // the result.
  std::vector<ScreenedLogits> screen(const std::vector<const float*>& states, float* out);
  // out[i] is the logit of tokens[i], the same bits as from logits(). Thread-safe.
  void exact(const float* state, std::span<const TokenId> tokens, float* out) const;

 private:
  void gather(const std::vector<const float*>& states);
  void ternary_logits(const TernaryMatrix& head, int states, float* out);
  void quantized_logits(const std::vector<const float*>& states, float* out);
  void split_logits(int states, float* out);
  void split_rows_of_one(int begin, int end, float* out);
  void split_rows_of_many(int states, int begin, int end, float* out);
  void screen_block(int block, std::int32_t* sums, std::vector<ScreenedLogits>& screened,
                    float* out);
  // The state's codes in rows 2 * index and 2 * index + 1; fills the bound's factors.
  void quantize(int index, ScreenedLogits& screened);

  const LoadedModel& model_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  const SplitMatrix* split_;
  const QuantizedMatrix* quantized_;
  const int hidden_;
  const int vocab_;
  float largest_norm_ = 0.0f;
  AlignedBuffer<float> inputs_;  // [max_states][hidden]: gathered
  // [2 * max_states][stride]: coarse and fine digits; of a ternary head [max_states][stride]; of a
  // quantized one [2 * max_states][padded columns]
  AlignedBuffer<std::int8_t> codes_;
  AlignedBuffer<std::int32_t> sums_;  // [2 * max_states]; of the last two, for each group
  std::vector<float> steps_;          // [max_states]; of a ternary head [max_states][groups]
};

}  // namespace sterna
