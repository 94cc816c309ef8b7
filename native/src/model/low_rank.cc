#include "model/low_rank.h"

#include <algorithm>
#include <cmath>

namespace sterna {

namespace {

constexpr int kPanelRows = 4;  // rows of A that are floats at a time, so that they stay in a cache
constexpr float kModerate = 1e37f;

// Memory of the calling thread, valid until its next call.
float* panel_memory(std::size_t size) {
  thread_local AlignedBuffer<float> memory;
  if (memory.size() < size) memory = AlignedBuffer<float>(size);
  return memory.data();
}

}  // namespace

void LowRank::plan(const std::vector<BatchRow>& rows) {
  runs_.clear();
  std::size_t widest = 0;
  for (int i = 0; i < static_cast<int>(rows.size()); ++i) {
    const LoadedAdapter* adapter = rows[i].adapter;
    if (adapter == nullptr) continue;
    widest = std::max(widest, static_cast<std::size_t>(adapter->widest_stage()));
    if (!runs_.empty() && runs_.back().adapter == adapter && runs_.back().end == i) {
      runs_.back().end = i + 1;
    } else {
      runs_.push_back({adapter, i, i + 1});
    }
  }
  if (runs_.empty()) return;
  stride_ = (widest + 15) / 16 * 16;
  if (components_.size() < stride_ * rows.size()) {
    components_ = AlignedBuffer<float>(stride_ * rows.size());
  }
}

void LowRank::reduce(const Team& team, int layer, Stage stage, const float* x,
                     std::size_t x_stride) {
  for (const Run& run : runs_) {
    const LowRankStage& matrix = run.adapter->stage(layer, stage);
    const Team::Share share = team.share(matrix.rank);
    if (share.begin < share.end) reduce_run(run, matrix, share, x, x_stride);
  }
}

void LowRank::reduce_run(const Run& run, const LowRankStage& stage, Team::Share share,
                         const float* x, std::size_t x_stride) {
  const LowRankFormat format = run.adapter->format();
  const int rows = run.end - run.begin;
  const int n = stage.inputs;
  const float* input = x + run.begin * x_stride;
  float* out = components(run.begin);
  if (format == LowRankFormat::kF32) {
    const auto* a = reinterpret_cast<const float*>(stage.a);
    kernels_.matmul_f32(a, n, share.begin, share.end, input, rows, x_stride, out, stride_);
    return;
  }
  if (format == LowRankFormat::kBf16) {
    const auto* a = reinterpret_cast<const std::uint16_t*>(stage.a);
    kernels_.matmul_bf16(a, n, share.begin, share.end, input, rows, x_stride, out, stride_);
    return;
  }
  // Blocks may reach beyond a row, into what the next one overwrites.
  const auto row_size = static_cast<std::size_t>(n);
  const int widened = (n + 31) / 32 * 32;
  float* panel = panel_memory(kPanelRows * row_size + 32);
  for (int first = share.begin; first < share.end; first += kPanelRows) {
    const int count = std::min(kPanelRows, share.end - first);
    for (int r = 0; r < count; ++r) {
      kernels_.low_rank_widen(format, stage.a + (first + r) * stage.a_bytes,
                              format == LowRankFormat::kInt8 ? n : widened, panel + r * row_size);
    }
    kernels_.matmul_f32(panel, n, 0, count, input, rows, x_stride, out + first, stride_);
  }
  if (format != LowRankFormat::kInt8) return;
  for (int i = 0; i < rows; ++i) {
    for (int r = share.begin; r < share.end; ++r) out[i * stride_ + r] *= stage.factors[r];
  }
}

void LowRank::expand(int layer, Projection projection, int begin, int end, float* y,
                     std::size_t y_stride) const {
  for (const Run& run : runs_) {
    const LowRankB& b = run.adapter->b(layer, projection);
    if (b.rank == 0) continue;
    const LowRankFormat format = run.adapter->format();
    const float* h = components(run.begin) + b.first;
    float* out = y + run.begin * y_stride;
    for (int column = begin; column < end;) {
      const int tile = column / kLowRankColumns;
      const int next = std::min(end, (tile + 1) * kLowRankColumns);
      const std::uint8_t* stored = b.tiles + tile * b.tile_bytes;
      const float* weights = reinterpret_cast<const float*>(stored);
      if (format != LowRankFormat::kF32) {
        const int size = b.rank * kLowRankColumns;
        float* panel = panel_memory(size);
        kernels_.low_rank_widen(format, stored, size, panel);
        weights = panel;
      }
      kernels_.low_rank_add(weights + column % kLowRankColumns, kLowRankColumns, b.rank,
                            next - column, h, run.end - run.begin, stride_, b.scale, out + column,
                            y_stride);
      column = next;
    }
  }
}

void LowRank::expand(const Team& team, int layer, Projection projection, int size, float* y,
                     std::size_t y_stride) const {
  const Team::Share tiles = team.share((size + kLowRankColumns - 1) / kLowRankColumns);
  const int end = std::min(tiles.end * kLowRankColumns, size);
  expand(layer, projection, tiles.begin * kLowRankColumns, end, y, y_stride);
}

bool LowRank::moderate(int layer, Projection projection) const {
  for (const Run& run : runs_) {
    const LowRankB& b = run.adapter->b(layer, projection);
    for (int row = run.begin; row < run.end; ++row) {
      const float* h = components(row) + b.first;
      float sum = 0.0f;
      for (int j = 0; j < b.rank; ++j) sum += std::fabs(h[j]);
      // Written so that NaN fails.
      if (!(sum * b.largest * std::max(1.0f, std::fabs(b.scale)) < kModerate)) return false;
    }
  }
  return true;
}

}  // namespace sterna
