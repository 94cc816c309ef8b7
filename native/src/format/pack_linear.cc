#include "format/pack_linear.h"

#include <algorithm>
#include <cmath>

#include "format/ternarize.h"
#include "format/ternary_groups.h"
#include "kernels/packing.h"

namespace sterna {

namespace {

constexpr std::size_t kChunkElements = std::size_t{1} << 20;

template <typename T>
std::span<const std::uint8_t> as_bytes(const T* data, std::size_t count) {
  return {reinterpret_cast<const std::uint8_t*>(data), count * sizeof(T)};
}

}  // namespace

void LinearPacker::check(const TernarySpec& spec) {
  if (spec.group == 0) {
    one_scale(spec);
    return;
  }
  for (const float scale : packed_scales(spec)) {
    if (!(std::isfinite(scale) && scale >= 0.0f)) {
      checkpoint_.refuse(form_.scale_name(spec.name),
                         "holds " + std::to_string(scale) + ", must be finite and not negative");
    }
  }
}

void LinearPacker::declare(const TernarySpec& spec) {
  const TernaryMatrix matrix = spec.matrix();
  if (spec.group == 0) {
    writer_.declare(spec.name + ".scale", Dtype::kF32, {1});
  } else {
    bool half = form_.half_scales();
    if (form_.config().storage == WeightStorage::kPacked) {
      const std::vector<float> scales = packed_scales(spec);
      half = std::all_of(scales.begin(), scales.end(),
                         [](float scale) { return exact_half(scale).has_value(); });
    }
    half_scales_[spec.name] = half;
    writer_.declare(spec.name + ".scales", half ? Dtype::kF16 : Dtype::kF32,
                    {matrix.row_tiles(), matrix.groups(), kTileRows});
  }
  writer_.declare(spec.name + ".tiles", Dtype::kU8,
                  {matrix.row_tiles(), matrix.col_blocks(), kTileBytes});
}

// What the integer product is multiplied with, from the checkpoint's weight_scale.
float LinearPacker::one_scale(const TernarySpec& spec) const {
  const std::string name = form_.scale_name(spec.name);
  const TensorView& tensor = checkpoint_.get(name);
  float stored = 0.0f;
  widen(tensor.dtype, tensor.bytes.data(), 1, &stored);
  const bool divide = form_.config().scale_rule == ScaleRule::kDivide;
  const float scale = divide ? 1.0f / stored : stored;
  if (!(std::isfinite(stored) && stored > 0.0f && std::isfinite(scale) && scale > 0.0f)) {
    checkpoint_.refuse(name, "is " + std::to_string(stored) + ", must be finite and positive");
  }
  return scale;
}

std::vector<float> LinearPacker::packed_scales(const TernarySpec& spec) const {
  const TensorView& tensor = checkpoint_.get(form_.scale_name(spec.name));
  std::vector<float> scales(tensor.elements());
  widen(tensor.dtype, tensor.bytes.data(), scales.size(), scales.data());
  return scales;
}

void LinearPacker::write(const TernarySpec& spec) {
  const std::string name = form_.weight_name(spec.name);
  const TensorView& tensor = checkpoint_.get(name);
  const WeightStorage storage = form_.config().storage;
  if (storage == WeightStorage::kPacked && has_invalid_code(tensor.bytes)) {
    checkpoint_.refuse(name, "holds the code 3, which is not a ternary weight");
  }
  float scale = 0.0f;
  if (storage == WeightStorage::kLatent) {
    const AbsMean mean = absmean(tensor.dtype, tensor.bytes.data(), spec.rows, spec.cols);
    if (!mean.finite) checkpoint_.refuse(name, "holds a value that is not finite");
    scale = mean.scale;
    k_ = mean.k;
  } else if (spec.group == 0) {
    scale = one_scale(spec);
  }
  if (spec.group == 0) writer_.write(spec.name + ".scale", 0, as_bytes(&scale, 1));

  // Whole row tiles at a time; they stand one behind the other in the packed matrix.
  const int step =
      std::max(static_cast<int>(kChunkElements) / spec.cols / kTileRows, 1) * kTileRows;
  for (int begin = 0; begin < spec.rows; begin += step) {
    const int end = std::min(begin + step, spec.rows);
    read_rows(spec, tensor, begin, end);
    tiles_.resize(packed_bytes(end - begin, spec.cols));
    pack_ternary(trits_.data(), end - begin, spec.cols, tiles_.data());
    writer_.write(spec.name + ".tiles", packed_bytes(begin, spec.cols), tiles_);
    if (spec.group != 0) write_scales(spec, begin, end);
  }
}

void LinearPacker::read_rows(const TernarySpec& spec, const TensorView& tensor, int begin,
                             int end) {
  const auto cols = static_cast<std::size_t>(spec.cols);
  const auto groups = static_cast<std::size_t>(spec.matrix().groups());
  const auto rows = static_cast<std::size_t>(end - begin);
  trits_.resize(rows * cols);
  switch (form_.config().storage) {
    case WeightStorage::kLatent:
      ternarize_rows(tensor.dtype, tensor.bytes.data(), spec.cols, begin, end, k_, trits_.data());
      return;
    case WeightStorage::kPacked: {
      unpack_rows(tensor.bytes.data(), spec.rows, spec.cols, begin, end, trits_.data());
      if (spec.group == 0) return;
      const TensorView& scales = checkpoint_.get(form_.scale_name(spec.name));
      scales_.resize(rows * groups);
      widen(
          scales.dtype,
          scales.bytes.data() + static_cast<std::size_t>(begin) * groups * dtype_size(scales.dtype),
          scales_.size(), scales_.data());
      return;
    }
    default:
      break;
  }
  floats_.resize(cols);
  scales_.resize(rows * groups);
  for (std::size_t row = 0; row < rows; ++row) {
    widen(tensor.dtype,
          tensor.bytes.data() +
              (static_cast<std::size_t>(begin) + row) * cols * dtype_size(tensor.dtype),
          cols, floats_.data());
    const int wrong = split_groups(floats_, spec.group, trits_.data() + row * cols,
                                   scales_.data() + row * groups);
    if (wrong >= 0) checkpoint_.refuse(tensor.name, "changed while it was read");
  }
}

// From [rows][groups] to [row_tiles][groups][16]; rows beyond the matrix get the scale 0.
void LinearPacker::write_scales(const TernarySpec& spec, int begin, int end) {
  const int groups = spec.matrix().groups();
  const int tiles = (end - begin + kTileRows - 1) / kTileRows;
  std::vector<float> ordered(static_cast<std::size_t>(tiles) * groups * kTileRows, 0.0f);
  for (int row = 0; row < end - begin; ++row) {
    for (int g = 0; g < groups; ++g) {
      ordered[(static_cast<std::size_t>(row / kTileRows) * groups + g) * kTileRows +
              row % kTileRows] = scales_[static_cast<std::size_t>(row) * groups + g];
    }
  }
  const std::size_t at = static_cast<std::size_t>(begin) * groups;
  if (!half_scales_.at(spec.name)) {
    writer_.write(spec.name + ".scales", at * sizeof(float),
                  as_bytes(ordered.data(), ordered.size()));
    return;
  }
  std::vector<std::uint16_t> halves(ordered.size());
  std::transform(ordered.begin(), ordered.end(), halves.begin(),
                 [](float scale) { return exact_half(scale).value(); });
  writer_.write(spec.name + ".scales", at * sizeof(std::uint16_t),
                as_bytes(halves.data(), halves.size()));
}

}  // namespace sterna
