#include "model/sparse_feed_forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/packing.h"
#include "kernels/relayout.h"

namespace sterna {

namespace {

// Beyond this share of rows or columns, reading all of them in one stream is as fast; see
// docs/performance-sparsity.md.
constexpr double kMostActive = 0.55;

std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

SparseFeedForward::SparseFeedForward(const LoadedModel& model, const Kernels& kernels, int workers,
                                     bool enabled)
    : model_(model) {
  const ModelConfig& config = model.config();
  if (!enabled || config.activation != Activation::kRelu2 || config.weight_group != 0) return;
  const int hidden = config.hidden_size;
  const int inner = config.intermediate_size;
  up_bytes_ = round_up(packed_bytes(inner, hidden, TernaryLayout::kRows), 64);
  down_bytes_ = round_up(packed_bytes(hidden, inner, TernaryLayout::kColumns), 64);
  layers_ = model.layer_count();
  memory_ = HugeBuffer(static_cast<std::size_t>(layers_) * (up_bytes_ + down_bytes_));
  workers_.reserve(workers);
  for (int i = 0; i < workers; ++i) workers_.emplace_back(kernels, inner + 1);
}

bool SparseFeedForward::start_step(int rows) {
  copying_ = rows == 1 && copied_ < layers_;
  return copying_;
}

void SparseFeedForward::copy_layer(const Team& team) {
  const LayerWeights& weights = model_.layer(copied_);
  std::uint8_t* up = memory_.data() + copied_ * (up_bytes_ + down_bytes_);
  const Team::Share tiles = team.share(weights.up.row_tiles());
  copy_as_rows(weights.up, tiles.begin, tiles.end, up);
  const Team::Share lines = team.share((weights.down.rows + 255) / 256);
  copy_as_columns(weights.down, lines.begin, lines.end, up + up_bytes_);
}

void SparseFeedForward::finish_step() {
  if (copying_) ++copied_;
  copying_ = false;
}

bool SparseFeedForward::multiply_up(int layer, int worker, const QuantizedRows& x,
                                    Team::Share tiles, const float* gate, float* up) {
  if (!usable(layer, x)) return false;
  TernaryMatrix w = model_.layer(layer).up;
  // Twice the largest magnitude that a product can have, since an adapter may add to it; beyond the
  // range of float, or NaN, the outcome of skipped rows could matter.
  for (int m = 0; m < x.rows; ++m) {
    if (!std::isfinite(static_cast<float>(w.cols) * 256.0f * (x.steps[m] * w.scale))) return false;
  }
  const auto stride = static_cast<std::size_t>(w.rows);
  const int begin = tiles.begin * kTileRows;
  const int end = std::min(tiles.end * kTileRows, w.rows);
  Worker& own = workers_[worker];
  std::int32_t* list = own.active.data();
  int count = 0;
  for (int row = begin; row < end; ++row) {
    bool active = false;
    for (int m = 0; m < x.rows; ++m) active |= !(gate[m * stride + row] <= 0.0f);
    list[count] = row;
    count += active ? 1 : 0;
  }
  own.counts.rows += end - begin;
  own.counts.active_rows += count;
  if (count > kMostActive * (end - begin)) return false;
  for (int m = 0; m < x.rows; ++m) {
    std::fill(up + m * stride + begin, up + m * stride + end, 0.0f);
  }
  w.tiles = memory_.data() + layer * (up_bytes_ + down_bytes_);
  w.layout = TernaryLayout::kRows;
  own.product.multiply_rows(w, x, list, count, up, stride);
  return true;
}

bool SparseFeedForward::multiply_down(int layer, const Team& team, const QuantizedRows& x,
                                      float* y) {
  if (!usable(layer, x)) return false;
  TernaryMatrix w = model_.layer(layer).down;
  Worker& own = workers_[team.worker()];
  const int count = own.product.find_columns(x, w.cols);
  if (team.worker() == 0) {
    own.counts.columns += w.cols;
    own.counts.active_columns += count;
  }
  if (count > kMostActive * w.cols) return false;
  w.tiles = memory_.data() + layer * (up_bytes_ + down_bytes_) + up_bytes_;
  w.layout = TernaryLayout::kColumns;
  const Team::Share units = team.share(column_units(w));
  own.product.multiply_columns(w, x, units.begin, units.end, y, static_cast<std::size_t>(w.rows));
  return true;
}

SparsityCounts SparseFeedForward::counts() const {
  SparsityCounts total;
  for (const Worker& worker : workers_) {
    total.rows += worker.counts.rows;
    total.active_rows += worker.counts.active_rows;
    total.columns += worker.counts.columns;
    total.active_columns += worker.counts.active_columns;
  }
  return total;
}

}  // namespace sterna
