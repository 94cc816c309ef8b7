#include "format/bundle.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "base/quoted.h"
#include "format/safetensors_writer.h"
#include "format/split_rows.h"
#include "model/config.h"
#include "sterna/error.h"

namespace sterna {

namespace {

constexpr char kRemedy[] = "; pack the checkpoint again";

[[noreturn]] void refuse(const SafetensorsFile& file, const std::string& why) {
  throw Error(ErrorCode::kCheckpointInvalid, file.path() + ": " + why + kRemedy, file.path());
}

[[noreturn]] void refuse_tensor(const SafetensorsFile& file, const std::string& name,
                                const std::string& why) {
  throw Error(ErrorCode::kCheckpointInvalid,
              file.path() + ": tensor " + in_quotes(name) + ": " + why + kRemedy, name);
}

const std::string& metadata(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    refuse(file, "not a Sterna bundle: its metadata have no \"" + key + "\"");
  }
  return found->second;
}

const TensorView& expect(const SafetensorsFile& file, const std::string& name,
                         std::initializer_list<Dtype> dtypes,
                         const std::vector<std::int64_t>& shape) {
  const TensorView* tensor = file.find(name);
  if (tensor == nullptr) refuse_tensor(file, name, "is missing");
  if (std::find(dtypes.begin(), dtypes.end(), tensor->dtype) == dtypes.end() ||
      tensor->shape != shape) {
    refuse_tensor(file, name,
                  "is " + std::string(dtype_name(tensor->dtype)) + " " + shape_text(tensor->shape) +
                      ", must be " + std::string(dtype_name(*dtypes.begin())) + " " +
                      shape_text(shape));
  }
  if (reinterpret_cast<std::uintptr_t>(tensor->bytes.data()) % kTensorAlignment != 0) {
    refuse_tensor(file, name, "does not start at a multiple of 64 bytes");
  }
  return *tensor;
}

bool is_padding(const TensorView& tensor) {
  return tensor.name.starts_with(kPaddingPrefix) && tensor.dtype == Dtype::kU8 &&
         tensor.bytes.size() < kTensorAlignment;
}

const float* floats(const TensorView& tensor) {
  return reinterpret_cast<const float*>(tensor.bytes.data());
}

}  // namespace

Bundle Bundle::open(const std::string& path) {
  Bundle bundle(SafetensorsFile::open(path));
  bundle.check_structure();
  bundle.check_values();
  return bundle;
}

void Bundle::check_structure() {
  const std::string& format = metadata(file_, "format");
  if (format != kBundleFormat) {
    refuse(file_, "not a Sterna bundle: its format is " + in_quotes(format));
  }
  const std::string& version = metadata(file_, "version");
  if (version != kBundleVersion) {
    refuse(file_, "has bundle version " + in_quotes(version) + ", this engine reads version " +
                      std::string(kBundleVersion));
  }
  config_ = config_from_json(metadata(file_, "config"), file_.path());

  const BundleLayout layout = bundle_layout(config_);
  std::set<std::string_view> known;
  const auto take = [&](const TensorView& tensor) {
    known.insert(tensor.name);
    weight_bytes_ += tensor.bytes.size();
  };
  for (const DenseSpec& spec : layout.dense) {
    // Only the output head is worth it: the last of the tables.
    const bool is_head = spec.name == layout.head;
    const auto format = is_head ? quantized_format(spec.name) : std::nullopt;
    if (is_head && is_split(spec.name)) {
      check_split(spec, take);
    } else if (format.has_value()) {
      const auto row = static_cast<std::int64_t>(quantized_layout(*format, spec.cols).row_bytes);
      take(expect(file_, quantized_name(spec.name, *format), {Dtype::kU8}, {spec.rows, row}));
    } else {
      take(expect(file_, spec.name, {Dtype::kBF16, Dtype::kF32}, {spec.rows, spec.cols}));
    }
  }
  for (const NormSpec& spec : layout.norms) {
    take(expect(file_, spec.name, {Dtype::kF32}, {spec.size}));
  }
  for (const TernarySpec& spec : layout.linears) {
    TernaryMatrix matrix = spec.matrix();
    const TensorView& tiles = expect(file_, spec.name + ".tiles", {Dtype::kU8},
                                     {matrix.row_tiles(), matrix.col_blocks(), kTileBytes});
    take(tiles);
    matrix.tiles = tiles.bytes.data();
    if (spec.group == 0) {
      const TensorView& scale = expect(file_, spec.name + ".scale", {Dtype::kF32}, {1});
      take(scale);
      matrix.scale = *floats(scale);
    } else {
      const TensorView& scales = expect(file_, spec.name + ".scales", {Dtype::kF16, Dtype::kF32},
                                        {matrix.row_tiles(), matrix.groups(), kTileRows});
      take(scales);
      if (scales.dtype == Dtype::kF16) {
        matrix.half_scales = reinterpret_cast<const std::uint16_t*>(scales.bytes.data());
      } else {
        matrix.float_scales = floats(scales);
      }
    }
    linears_.emplace(spec.name, matrix);
  }
  for (const TensorView& tensor : file_.tensors()) {
    if (!known.contains(tensor.name) && !is_padding(tensor)) {
      refuse_tensor(file_, tensor.name, "is not a tensor of this model");
    }
  }
}

std::optional<WeightFormat> Bundle::quantized_format(const std::string& name) const {
  for (const WeightFormat format : kWeightFormats) {
    if (file_.find(quantized_name(name, format)) != nullptr) return format;
  }
  return std::nullopt;
}

bool Bundle::is_split(const std::string& name) const {
  return file_.find(name + std::string(kHigh)) != nullptr;
}

void Bundle::check_split(const DenseSpec& spec,
                         const std::function<void(const TensorView&)>& take) {
  const auto part = [&](std::string_view suffix, Dtype dtype,
                        const std::vector<std::int64_t>& shape) -> const TensorView& {
    const TensorView& tensor = expect(file_, spec.name + std::string(suffix), {dtype}, shape);
    take(tensor);
    return tensor;
  };
  part(kHigh, Dtype::kU8, {spec.rows, split_stride(spec.cols)});
  part(kLow, Dtype::kU8, {spec.rows, split_stride(spec.cols)});
  for (const std::string_view suffix : {kScales, kResiduals, kNorms}) {
    const TensorView& tensor = part(suffix, Dtype::kF32, {spec.rows});
    const float* values = floats(tensor);
    if (!std::all_of(values, values + spec.rows,
                     [](float v) { return std::isfinite(v) && v >= 0.0f; })) {
      refuse_tensor(file_, tensor.name, "holds a value that is not finite or negative");
    }
  }
  const TensorView& starts = part(kStarts, Dtype::kU32, {spec.rows + 1});
  const auto* start = reinterpret_cast<const std::uint32_t*>(starts.bytes.data());
  if (start[0] != 0 || !std::is_sorted(start, start + spec.rows + 1)) {
    refuse_tensor(file_, starts.name, "does not count up from 0");
  }
  part(kColumns, Dtype::kU16, {start[spec.rows]});
  part(kBits, Dtype::kBF16, {start[spec.rows]});
}

void Bundle::check_values() const {
  for (const auto& [name, matrix] : linears_) {
    if (!(std::isfinite(matrix.scale) && matrix.scale > 0.0f)) {
      refuse_tensor(file_, name + ".scale",
                    "is " + std::to_string(matrix.scale) + ", must be finite and positive");
    }
  }
  for (const NormSpec& spec : bundle_layout(config_).norms) {
    const TensorView& norm = tensor(spec.name);
    const float* values = floats(norm);
    if (!std::all_of(values, values + spec.size, [](float v) { return std::isfinite(v); })) {
      refuse_tensor(file_, spec.name, "holds a value that is not finite");
    }
  }
}

TernaryMatrix Bundle::ternary(const std::string& name) const {
  const auto found = linears_.find(name);
  if (found == linears_.end()) {
    throw Error(ErrorCode::kInternal, path() + " has no linear " + in_quotes(name), name);
  }
  return found->second;
}

std::span<const float> Bundle::f32(const std::string& name, std::size_t expected) const {
  const TensorView& found = tensor(name);
  if (found.dtype != Dtype::kF32 || found.elements() != expected) {
    throw Error(ErrorCode::kInternal,
                path() + ": tensor " + in_quotes(name) + " is not F32 with " +
                    std::to_string(expected) + " elements",
                name);
  }
  return {floats(found), expected};
}

const TensorView& Bundle::tensor(const std::string& name) const {
  const TensorView* found = file_.find(name);
  if (found == nullptr) {
    throw Error(ErrorCode::kInternal, path() + " has no tensor " + in_quotes(name), name);
  }
  return *found;
}

}  // namespace sterna
