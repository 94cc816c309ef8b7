// The decoder: rows of tokens in, hidden states and logits out, keys and values into the cache.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "model/attention.h"
#include "model/batch.h"
#include "model/low_rank.h"
#include "model/output_head.h"
#include "model/sparse_feed_forward.h"
#include "model/weights.h"
#include "ops/kv_layout.h"
#include "ops/rotary.h"
#include "sterna/request.h"

namespace sterna {

// Every row is computed on its own, in a fixed order of operations: its result does not depend on
// the other rows, on the number of threads, or on whether its prefix came from the cache.
// Not thread-safe: one batch at a time.
class Transformer {
 public:
  // With `sparsity`, steps of few rows skip what the zeros of ReLU^2 make superfluous.
  Transformer(std::shared_ptr<const LoadedModel> model, const Kernels& kernels, ThreadPool& pool,
              int max_rows, bool attention_tiles = true, bool sparsity = false);

  int max_rows() const { return max_rows_; }
  SparsityCounts sparsity() const { return sparse_.counts(); }

  // Computes the batch; afterwards hidden(i) is row i behind the final norm: [hidden_size].
  void forward(const std::vector<BatchRow>& rows, const KvLayout& cache);
  const float* hidden(int row) const;

  // From final states, at most max_rows of them at a time, to logits: from hidden(i), or copies of
  // it from earlier batches.
  OutputHead& head() { return head_; }
  const OutputHead& head() const { return head_; }

  // The steps of `forward`, for tests: states[rows][hidden_size] through one layer in place,
  // and one linear's outputs for x[rows][in], through its own norm where it has one; `codes` and
  // `steps` [rows][groups] receive the quantized input.
  void layer(int index, const std::vector<BatchRow>& rows, const KvLayout& cache, float* states);
  void linear(const Linear& weight, const float* x, int rows, float* y, std::int8_t* codes,
              float* steps);

 private:
  struct Product {
    const Linear* weight;
    float* y;
    std::size_t y_stride;
  };

  struct Adapted {
    Projection projection;
    int size;
    float* y;
  };

  // A batch on its way through the layers, as one worker sees it. Rows are shared out for what is
  // done row by row; a single row is added up, normalized and quantized by every worker for itself,
  // which takes no longer and saves a barrier.
  struct Pass {
    Team team;
    int count;  // rows

    bool alone() const { return count == 1; }
    Team::Share rows() const { return alone() ? Team::Share{0, 1} : team.share(count); }
    // Where this worker keeps `row` in states_, normed_ and codes_.
    std::size_t slot(int row) const { return alone() ? team.worker() : row; }
    // Behind work on rows().
    void sync_rows() const {
      if (!alone()) team.sync();
    }
  };

  // Each leaves its result ready for all workers, but `multiply` and `project`, behind which they
  // must sync.
  void layer_block(const Pass& pass, int layer, const std::vector<BatchRow>& rows,
                   const KvLayout& cache, const float* delta);
  void attention_block(const Pass& pass, int layer, const std::vector<BatchRow>& rows,
                       const KvLayout& cache);
  void rotate_and_store(int item, int layer, const std::vector<BatchRow>& rows,
                        const KvLayout& cache);
  void feed_forward_block(const Pass& pass, int layer);
  void gate_columns(const Pass& pass, int begin, int end);
  // states += delta (when not null); then as norm_quantize.
  void add_norm_quantize(const Pass& pass, const float* delta, const float* norm);
  // x[rows][size], normalized (when norm is not null) and quantized into codes_; but where linears
  // have norms of their own, it is only left in normed_ for `multiply`.
  void norm_quantize(const Pass& pass, const float* x, const float* norm, int size);
  void norm_quantize_row(const Pass& pass, int row, const float* x, const float* norm, int size);
  void quantize_row(const Pass& pass, int row, const float* x, int size);
  // Of linears that have norms of their own: what norm_quantize left, through that norm.
  void quantize_for(const Pass& pass, const Linear& linear);
  // What norm_quantize left, times each of the matrices, which read the same input.
  void multiply(const Pass& pass, std::initializer_list<Product> products);
  void project(const Pass& pass, std::initializer_list<Product> products);
  void compute_angles(const std::vector<BatchRow>& rows);
  double work_per_barrier(int rows) const;

  QuantizedRows quantized(const Pass& pass, int size);
  // What the last norm_quantize quantized: [rows][size], of which this worker has its own copy when
  // a row is alone.
  const float* normed(const Pass& pass, const float* x, const float* norm, int size) const;
  // What adapters add to projections whose base products were asked for before, of an input x;
  // behind it workers must sync.
  void adapt(const Pass& pass, int layer, Stage stage, const float* x, int size,
             std::initializer_list<Adapted> outputs);
  // Bytes of a row of codes.
  static int code_stride(int size) { return (size + 63) / 64 * 64; }
  // Of an input of this size that are quantized by themselves.
  int groups(int size) const {
    return config_.weight_group == 0 ? 1 : (size + config_.weight_group - 1) / config_.weight_group;
  }

  std::shared_ptr<const LoadedModel> model_;
  const ModelConfig& config_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  const int max_rows_;
  RotaryEmbedding rotary_;
  Attention attention_;
  OutputHead head_;
  SparseFeedForward sparse_;
  LowRank low_rank_;

  // Activations of one batch. [max_rows or workers, whichever is more][...]:
  AlignedBuffer<float> states_;  // residual stream: hidden_size
  AlignedBuffer<float> normed_;  // the widest input of a linear
  AlignedBuffer<float> own_;     // the same, through a linear's own norm; empty without such norms
  AlignedBuffer<std::int8_t> codes_;
  std::size_t step_stride_ = 0;  // whole cache lines, for the workers of a single row
  AlignedBuffer<float> steps_;   // step_stride_
  AlignedBuffer<std::int32_t> sums_;
  // [max_rows][...]:
  AlignedBuffer<float> query_;      // heads * head_dim
  AlignedBuffer<float> key_;        // kv_heads * head_dim
  AlignedBuffer<float> value_;      // kv_heads * head_dim
  AlignedBuffer<float> attended_;   // heads * head_dim
  AlignedBuffer<float> delta_;      // hidden_size: what a block adds to the residual stream
  AlignedBuffer<float> gate_;       // intermediate_size
  AlignedBuffer<float> up_;         // intermediate_size
  AlignedBuffer<float> cos_, sin_;  // head_dim / 2
};

}  // namespace sterna
