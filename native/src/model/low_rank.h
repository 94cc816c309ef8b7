// What adapters add to the outputs of linears: y += scale * B (A x), row by row.
#pragma once

#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "model/adapter.h"
#include "model/batch.h"

namespace sterna {

// Rows of different adapters, and of none, may stand in one batch. A row's result is that of the
// row alone, bit for bit: its sums run in the order of kernels.h, whatever the other rows, the
// threads and the instruction set.
class LowRank {
 public:
  explicit LowRank(const Kernels& kernels) : kernels_(kernels) {}

  // Before the steps of a batch: finds the runs of rows that have the same adapter.
  void plan(const std::vector<BatchRow>& rows);
  bool active() const { return !runs_.empty(); }

  // This worker's share of A x, for x[rows][x_stride]. Behind it, workers must sync.
  void reduce(const Team& team, int layer, Stage stage, const float* x, std::size_t x_stride);
  // y[rows][y_stride] += scale * B (A x), for the columns [begin, end), after reduce.
  void expand(int layer, Projection projection, int begin, int end, float* y,
              std::size_t y_stride) const;
  // The same for this worker's share of all columns.
  void expand(const Team& team, int layer, Projection projection, int size, float* y,
              std::size_t y_stride) const;
  // Whether what expand adds stays below 1e37 by magnitude, and is not NaN, in every row.
  bool moderate(int layer, Projection projection) const;

 private:
  struct Run {
    const LoadedAdapter* adapter;
    int begin;  // rows [begin, end) of the batch
    int end;
  };

  void reduce_run(const Run& run, const LowRankStage& stage, Team::Share share, const float* x,
                  std::size_t x_stride);
  float* components(int row) { return components_.data() + row * stride_; }
  const float* components(int row) const { return components_.data() + row * stride_; }

  const Kernels& kernels_;
  std::vector<Run> runs_;
  std::size_t stride_ = 0;
  AlignedBuffer<float> components_;  // A x: [rows][stride_]
};

}  // namespace sterna
