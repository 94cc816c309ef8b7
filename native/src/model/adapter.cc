#include "model/adapter.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "base/quoted.h"
#include "format/dtype.h"
#include "model/peft_adapter.h"
#include "sterna/error.h"

namespace sterna {

namespace {

constexpr int kBlock = 32;
constexpr float kLargestValue = 1e30f;

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

LowRankFormat format_of(AdapterPrecision precision) {
  switch (precision) {
    case AdapterPrecision::kF32:
      return LowRankFormat::kF32;
    case AdapterPrecision::kBf16:
      return LowRankFormat::kBf16;
    case AdapterPrecision::kInt8:
      return LowRankFormat::kInt8;
    case AdapterPrecision::kQ8:
      return LowRankFormat::kQ8;
    case AdapterPrecision::kQ4:
      return LowRankFormat::kQ4;
  }
  throw Error(ErrorCode::kInvalidArgument, "there is no such precision", "precision");
}

std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

int tile_count(int outputs) { return (outputs + kLowRankColumns - 1) / kLowRankColumns; }

float largest_of(const float* values, std::size_t count) {
  float largest = 0.0f;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(values[i]));
  return largest;
}

std::uint8_t* put_half(float value, std::uint8_t* out) {
  const std::uint16_t bits = f32_to_f16(value);
  std::memcpy(out, &bits, sizeof bits);
  return out + sizeof bits;
}

// Zero for steps that are zero, or so small that their inverse is infinite: as a half they are
// zero.
float inverse_of(float step) {
  const float inverse = 1.0f / step;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// As GGUF's quantizers: the codes follow from the step before it is rounded to half precision.
void pack_q8(const float* x, std::uint8_t* out) {
  const float step = largest_of(x, kBlock) / 127.0f;
  const float inverse = inverse_of(step);
  out = put_half(step, out);
  for (int i = 0; i < kBlock; ++i) {
    const float code = std::clamp(std::round(x[i] * inverse), -127.0f, 127.0f);
    out[i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(code));
  }
}

void pack_q4(const float* x, std::uint8_t* out) {
  float extreme = 0.0f;
  for (int i = 0; i < kBlock; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  const float step = extreme / -8.0f;
  const float inverse = inverse_of(step);
  out = put_half(step, out);
  const auto code = [&](float value) {
    return static_cast<std::uint8_t>(std::clamp(value * inverse + 8.5f, 0.0f, 15.0f));
  };
  for (int i = 0; i < kBlock / 2; ++i) {
    out[i] = static_cast<std::uint8_t>(code(x[i]) | code(x[i + kBlock / 2]) << 4);
  }
}

// The values of a tensor as floats, which must be finite.
std::vector<float> read_values(const TensorView& tensor, const std::string& path) {
  std::vector<float> values(tensor.elements());
  widen(tensor.dtype, tensor.bytes.data(), values.size(), values.data());
  const auto refuse = [&](ErrorCode code, const char* why) {
    throw Error(code, path + ": tensor " + in_quotes(tensor.name) + ": " + why, tensor.name);
  };
  for (const float value : values) {
    if (!std::isfinite(value)) {
      refuse(ErrorCode::kCheckpointInvalid, "holds a value that is infinite or not a number");
    }
    if (std::fabs(value) > kLargestValue) {
      refuse(ErrorCode::kUnsupportedAdapter, "holds a value above 1e30");
    }
  }
  return values;
}

// Brings the largest magnitude between 1/2 and 1, exactly, and returns the exponent of two that was
// taken out: steps in half precision have few bits below 2^-14.
int normalize(std::vector<float>& values) {
  int exponent = 0;
  std::frexp(largest_of(values.data(), values.size()), &exponent);
  for (float& value : values) value = std::ldexp(value, -exponent);
  return exponent;
}

}  // namespace

// Where the parts of the memory begin, in bytes.
struct LoadedAdapter::Plan {
  std::vector<std::size_t> a;        // [layers][stages]
  std::vector<std::size_t> factors;  // [layers][stages]
  std::vector<std::size_t> b;        // [layers][projections]
};

LoadedAdapter::LoadedAdapter(const PeftAdapter& peft, const ModelConfig& model,
                             AdapterPrecision precision)
    : id_(next_id()),
      format_(format_of(precision)),
      model_(model),
      base_model_(peft.config().base_model),
      stages_(model.layers * kStages),
      projections_(model.layers * kProjections.size()) {
  for (const PeftLinear& linear : peft.linears()) {
    LowRankStage& stage =
        stages_[linear.layer * kStages + static_cast<std::size_t>(stage_of(linear.projection))];
    LowRankB& b = projections_[linear.layer * kProjections.size() +
                               static_cast<std::size_t>(linear.projection)];
    b.rank = linear.rank;
    b.first = stage.rank;
    b.scale = linear.scale;
    stage.rank += linear.rank;
    stage.inputs = input_size(model, linear.projection);
    rank_ = std::max(rank_, linear.rank);
    widest_stage_ = std::max(widest_stage_, stage.rank);
  }
  Plan plan;
  std::size_t size = 0;
  const auto reserve = [&size](std::size_t bytes) {
    const std::size_t begin = size;
    size += aligned(bytes);
    return begin;
  };
  for (LowRankStage& stage : stages_) {
    stage.a_bytes = values_bytes(stage.inputs);
    plan.a.push_back(reserve(stage.a_bytes * stage.rank));
    plan.factors.push_back(
        reserve(format_ == LowRankFormat::kInt8 ? stage.rank * sizeof(float) : 0));
  }
  for (std::size_t i = 0; i < projections_.size(); ++i) {
    LowRankB& b = projections_[i];
    b.tile_bytes = values_bytes(b.rank * kLowRankColumns);
    const Projection projection = kProjections[i % kProjections.size()];
    plan.b.push_back(reserve(b.tile_bytes * tile_count(output_size(model, projection))));
  }
  memory_ = HugeBuffer(size);
  for (const PeftLinear& linear : peft.linears()) pack(peft, linear, plan);
}

// Of `count` values side by side; those of B are a multiple of the blocks.
std::size_t LoadedAdapter::values_bytes(int count) const {
  const auto values = static_cast<std::size_t>(count);
  const std::size_t blocks = (values + kBlock - 1) / kBlock;
  switch (format_) {
    case LowRankFormat::kF32:
      return values * 4;
    case LowRankFormat::kBf16:
      return values * 2;
    case LowRankFormat::kInt8:
      return values;
    case LowRankFormat::kQ8:
      return blocks * 34;
    case LowRankFormat::kQ4:
      return blocks * 18;
  }
  return 0;
}

// Writes a line of A, or one component of a tile of B; for kInt8 in units of its step.
void LoadedAdapter::pack_line(const float* values, int count, std::uint8_t* out) const {
  if (format_ == LowRankFormat::kF32) {
    std::memcpy(out, values, count * sizeof(float));
  } else if (format_ == LowRankFormat::kBf16) {
    auto* bf16 = reinterpret_cast<std::uint16_t*>(out);
    for (int i = 0; i < count; ++i) bf16[i] = f32_to_bf16(values[i]);
  } else if (format_ == LowRankFormat::kInt8) {
    for (int i = 0; i < count; ++i) {
      const float code = std::clamp(std::nearbyint(values[i]), -127.0f, 127.0f);
      out[i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(code));
    }
  } else {
    for (int i = 0; i < count; i += kBlock) {
      float block[kBlock] = {};
      std::copy_n(values + i, std::min(kBlock, count - i), block);
      if (format_ == LowRankFormat::kQ8) {
        pack_q8(block, out + i / kBlock * 34);
      } else {
        pack_q4(block, out + i / kBlock * 18);
      }
    }
  }
}

void LoadedAdapter::pack(const PeftAdapter& peft, const PeftLinear& linear, const Plan& plan) {
  const std::size_t stage_index =
      linear.layer * kStages + static_cast<std::size_t>(stage_of(linear.projection));
  const std::size_t b_index =
      linear.layer * kProjections.size() + static_cast<std::size_t>(linear.projection);
  LowRankStage& stage = stages_[stage_index];
  LowRankB& b = projections_[b_index];
  std::vector<float> a_values = read_values(*linear.a, peft.path());
  std::vector<float> b_values = read_values(*linear.b, peft.path());
  if (format_ == LowRankFormat::kQ8 || format_ == LowRankFormat::kQ4) {
    b.scale = std::ldexp(b.scale, normalize(a_values) + normalize(b_values));
  }
  b.largest = largest_of(b_values.data(), b_values.size());
  const int inputs = stage.inputs;
  const int outputs = output_size(model_, linear.projection);
  const int rank = linear.rank;
  auto* factors = reinterpret_cast<float*>(memory_.data() + plan.factors[stage_index]);
  if (format_ == LowRankFormat::kInt8) {
    stage.factors = factors;
    for (int j = 0; j < rank; ++j) {
      float* a = a_values.data() + static_cast<std::size_t>(j) * inputs;
      const float a_step = largest_of(a, inputs) / 127.0f;
      float b_step = 0.0f;
      for (int o = 0; o < outputs; ++o)
        b_step = std::max(b_step, std::fabs(b_values[o * rank + j]));
      b_step /= 127.0f;
      for (int i = 0; i < inputs; ++i) a[i] = a_step > 0.0f ? a[i] / a_step : 0.0f;
      for (int o = 0; o < outputs; ++o) {
        float& value = b_values[o * rank + j];
        value = b_step > 0.0f ? value / b_step : 0.0f;
      }
      factors[b.first + j] = a_step * b_step;
    }
    b.largest = 127.0f;
  }
  std::uint8_t* a_out = memory_.data() + plan.a[stage_index];
  stage.a = a_out;
  for (int j = 0; j < rank; ++j) {
    pack_line(a_values.data() + static_cast<std::size_t>(j) * inputs, inputs,
              a_out + (b.first + j) * stage.a_bytes);
  }
  std::uint8_t* b_out = memory_.data() + plan.b[b_index];
  b.tiles = b_out;
  const std::size_t line_bytes = values_bytes(kLowRankColumns);
  for (int tile = 0; tile < tile_count(outputs); ++tile) {
    for (int j = 0; j < rank; ++j) {
      float line[kLowRankColumns] = {};
      for (int c = 0; c < kLowRankColumns; ++c) {
        const int o = tile * kLowRankColumns + c;
        if (o < outputs) line[c] = b_values[static_cast<std::size_t>(o) * rank + j];
      }
      pack_line(line, kLowRankColumns, b_out + tile * b.tile_bytes + j * line_bytes);
    }
  }
}

bool LoadedAdapter::fits(const ModelConfig& model) const {
  if (model.layers != model_.layers) return false;
  return std::all_of(kProjections.begin(), kProjections.end(), [&](Projection projection) {
    return input_size(model, projection) == input_size(model_, projection) &&
           output_size(model, projection) == output_size(model_, projection);
  });
}

std::shared_ptr<const Adapter> Adapter::open(const std::string& directory, const Model& model,
                                             AdapterPrecision precision) {
  const PeftAdapter peft = PeftAdapter::open(directory, model.config());
  return std::make_shared<const LoadedAdapter>(peft, model.config(), precision);
}

}  // namespace sterna
