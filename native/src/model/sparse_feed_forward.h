// The feed-forward products of a ReLU^2 model without what its zeros make superfluous: the rows of
// `up` whose gate is not positive, and the columns of `down` whose input code is zero.
#pragma once

#include <cstdint>
#include <vector>

#include "base/huge_buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "kernels/sparse.h"
#include "model/weights.h"

namespace sterna {

// What steps that could skip something met: all rows of `up` and columns of `down`, and those that
// some row of the batch needed.
struct SparsityCounts {
  std::int64_t rows = 0;
  std::int64_t active_rows = 0;
  std::int64_t columns = 0;
  std::int64_t active_columns = 0;
};

// Keeps copies of `up` by rows and of `down` by columns, because row tiles have neither in one
// piece; they take as much memory as those matrices once more. Copies are made layer by layer,
// during steps of one row, so that loading takes no longer.
//
// The answers are the same, bit for bit. What is skipped contributes nothing: a gate that is not
// positive gives (0 * 0) * up, which is 0 or -0 as long as `up` is finite, and both are quantized
// to the code 0; `multiply_up` does not skip unless that is certain. A gate that is NaN is not
// skipped.
class SparseFeedForward {
 public:
  // A disabled one, or one for a model without ReLU^2, does nothing and takes no memory.
  SparseFeedForward(const LoadedModel& model, const Kernels& kernels, int workers, bool enabled);

  // For every step: whether this step has a layer's copies to make; then all workers call
  // `copy_layer`, and after the step the caller `finish_step`.
  bool start_step(int rows);
  void copy_layer(const Team& team);
  void finish_step();

  // up[m * size + row] for the rows of gate tiles [tile_begin, tile_end) whose gate
  // [m * size + row] is positive for some m, zero for the others; or nothing and false, if that
  // would not be faster or not be the same.
  bool multiply_up(int layer, int worker, const QuantizedRows& x, Team::Share tiles,
                   const float* gate, float* up);
  // The worker's share of down, y[m * rows + row]; or nothing and false, if it would not be faster.
  // All workers decide alike.
  bool multiply_down(int layer, const Team& team, const QuantizedRows& x, float* y);

  // Of all steps so far. Not while a step runs.
  SparsityCounts counts() const;

 private:
  struct alignas(64) Worker {
    Worker(const Kernels& kernels, int rows) : product(kernels), active(rows) {}
    SparseProduct product;
    std::vector<std::int32_t> active;  // rows; one more than there are
    SparsityCounts counts;
  };

  bool usable(int layer, const QuantizedRows& x) const {
    return layer < copied_ && x.rows <= kMostSparseRows;
  }

  const LoadedModel& model_;
  std::size_t up_bytes_ = 0;  // of one layer
  std::size_t down_bytes_ = 0;
  HugeBuffer memory_;  // [layers][up, down]
  int layers_ = 0;     // with copies in the end
  int copied_ = 0;     // so far
  bool copying_ = false;
  std::vector<Worker> workers_;
};

}  // namespace sterna
