// The weights of a LoRA adapter as the low-rank products want them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/huge_buffer.h"
#include "kernels/kernels.h"
#include "model/projection.h"
#include "sterna/adapter.h"

namespace sterna {

class PeftAdapter;
struct PeftLinear;

// Projections that read the same input.
enum class Stage { kAttention, kOutput, kGateUp, kDown };

inline constexpr std::size_t kStages = 4;
inline constexpr int kLowRankColumns = 32;  // outputs in one tile of B

inline Stage stage_of(Projection projection) {
  if (projection <= Projection::kV) return Stage::kAttention;
  if (projection == Projection::kO) return Stage::kOutput;
  return projection == Projection::kDown ? Stage::kDown : Stage::kGateUp;
}

// B of one projection: [tiles][rank][32] values, a tile being 32 outputs, zero beyond the last.
struct LowRankB {
  const std::uint8_t* tiles = nullptr;
  std::size_t tile_bytes = 0;
  int rank = 0;   // 0: the adapter leaves the projection alone
  int first = 0;  // its first component among those of the stage
  float scale = 0.0f;
  float largest = 0.0f;  // max |B|
};

// A of all projections of a stage, one below the other: [rank][a_bytes], a line of `inputs` values.
struct LowRankStage {
  const std::uint8_t* a = nullptr;
  std::size_t a_bytes = 0;
  int inputs = 0;
  int rank = 0;                    // of all projections together; 0: nothing to do
  const float* factors = nullptr;  // [rank], of kInt8: the steps of A and of B, multiplied
};

class LoadedAdapter final : public Adapter {
 public:
  LoadedAdapter(const PeftAdapter& peft, const ModelConfig& model, AdapterPrecision precision);

  int rank() const override { return rank_; }
  std::int64_t memory_bytes() const override { return static_cast<std::int64_t>(memory_.size()); }
  const std::string& base_model() const override { return base_model_; }

  // Never 0, and never the same for two adapters of a process.
  std::uint64_t id() const { return id_; }
  LowRankFormat format() const { return format_; }
  // Of all projections of any stage together.
  int widest_stage() const { return widest_stage_; }
  // Whether it was read for a model of this shape.
  bool fits(const ModelConfig& model) const;
  const LowRankStage& stage(int layer, Stage stage) const {
    return stages_[layer * kStages + static_cast<std::size_t>(stage)];
  }
  const LowRankB& b(int layer, Projection projection) const {
    return projections_[layer * kProjections.size() + static_cast<std::size_t>(projection)];
  }

 private:
  struct Plan;
  void pack(const PeftAdapter& peft, const PeftLinear& linear, const Plan& plan);
  std::size_t values_bytes(int count) const;
  void pack_line(const float* values, int count, std::uint8_t* out) const;

  const std::uint64_t id_;
  const LowRankFormat format_;
  const ModelConfig model_;
  std::string base_model_;
  int rank_ = 0;
  int widest_stage_ = 0;
  HugeBuffer memory_;
  std::vector<LowRankStage> stages_;   // [layers][stages]
  std::vector<LowRankB> projections_;  // [layers][projections]
};

}  // namespace sterna
