// Packing a checkpoint into a bundle, tensor by tensor.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/quoted.h"
#include "format/bundle.h"
#include "format/bundle_layout.h"
#include "format/checkpoint.h"
#include "format/checkpoint_form.h"
#include "format/pack_linear.h"
#include "format/quantize_rows.h"
#include "format/safetensors_writer.h"
#include "format/split_rows.h"
#include "model/config.h"
#include "sterna/error.h"
#include "sterna/model.h"

namespace sterna {

namespace {

constexpr std::size_t kChunkElements = std::size_t{1} << 20;
// A head that fits a cache is read fast in one piece.
constexpr std::size_t kElementsWorthSplitting = std::size_t{1} << 24;

template <typename T>
std::span<const std::uint8_t> as_bytes(const T* data, std::size_t count) {
  return {reinterpret_cast<const std::uint8_t*>(data), count * sizeof(T)};
}

class Packer {
 public:
  Packer(const Checkpoint& checkpoint, const std::string& bundle_path, const PackOptions& options)
      : checkpoint_(checkpoint),
        options_(options),
        form_(checkpoint),
        config_(form_.config()),
        layout_(bundle_layout(config_.model)),
        writer_(bundle_path, {{"format", std::string(kBundleFormat)},
                              {"version", std::string(kBundleVersion)},
                              {"config", config_to_json(config_.model)}}),
        linears_(checkpoint, form_, writer_) {}

  void run() {
    check_head_precision();
    check_tensors();
    declare();
    writer_.begin();
    for (const DenseSpec& spec : layout_.dense) {
      if (const auto format = quantized_format(spec)) {
        write_quantized(spec, *format);
      } else if (is_split(spec)) {
        write_split(spec);
      } else {
        write_dense(spec);
      }
    }
    for (const NormSpec& spec : layout_.norms) write_norm(spec);
    for (const TernarySpec& spec : layout_.linears) linears_.write(spec);
    writer_.commit();
  }

 private:
  std::string weight_name(const std::string& name) const { return form_.weight_name(name); }
  std::string scale_name(const std::string& name) const { return form_.scale_name(name); }

  // The tensor, once its dtype and shape are what `what` needs.
  const TensorView& expect(const std::string& name, std::initializer_list<Dtype> dtypes,
                           const std::vector<std::int64_t>& shape) {
    const TensorView& tensor = checkpoint_.get(name);
    if (std::find(dtypes.begin(), dtypes.end(), tensor.dtype) == dtypes.end()) {
      std::string allowed;
      for (const Dtype dtype : dtypes) {
        allowed += (allowed.empty() ? "" : ", ") + std::string(dtype_name(dtype));
      }
      checkpoint_.refuse(name, "has dtype " + std::string(dtype_name(tensor.dtype)) +
                                   ", must be one of: " + allowed);
    }
    if (tensor.shape != shape) {
      checkpoint_.refuse(name, "has shape " + shape_text(tensor.shape) + ", config.json gives " +
                                   shape_text(shape));
    }
    known_.insert(name);
    return tensor;
  }

  // Everything that the file's header tells, before anything is written.
  void check_tensors() {
    for (const DenseSpec& spec : layout_.dense) {
      expect(weight_name(spec.name), {Dtype::kBF16, Dtype::kF16, Dtype::kF32},
             {spec.rows, spec.cols});
    }
    for (const NormSpec& spec : layout_.norms) {
      expect(weight_name(spec.name), {Dtype::kBF16, Dtype::kF16, Dtype::kF32}, {spec.size});
    }
    for (const TernarySpec& spec : layout_.linears) check_linear(spec);
    check_tied_head();
    for (const std::string& name : checkpoint_.names()) {
      if (!known_.contains(name) && !is_harmless(name)) {
        checkpoint_.refuse(name, "is not part of a " + config_.model.architecture +
                                     " with this config.json; ignoring it could change the "
                                     "answers");
      }
    }
  }

  void check_linear(const TernarySpec& spec) {
    const std::string name = weight_name(spec.name);
    if (config_.storage != WeightStorage::kPacked) {
      expect(name, {Dtype::kBF16, Dtype::kF16, Dtype::kF32}, {spec.rows, spec.cols});
      return;
    }
    if (spec.rows % 4 != 0) {
      checkpoint_.refuse(name, "cannot be packed: config.json gives " + std::to_string(spec.rows) +
                                   " rows, not a multiple of 4");
    }
    expect(name, {Dtype::kU8}, {spec.rows / 4, spec.cols});
    const std::string scale = scale_name(spec.name);
    const TensorView& tensor = checkpoint_.get(scale);
    std::vector<std::int64_t> shape;
    if (spec.group != 0) {
      shape = {spec.rows, spec.matrix().groups()};
    } else if (!tensor.shape.empty()) {
      shape = {1};
    }
    expect(scale, {Dtype::kBF16, Dtype::kF16, Dtype::kF32}, shape);
    linears_.check(spec);
  }

  // A tied checkpoint may repeat the embedding as the head, but not contradict it.
  void check_tied_head() {
    const std::string head = "lm_head.weight";
    const TensorView* tensor = checkpoint_.find(head);
    if (!config_.model.tied_embeddings || tensor == nullptr) return;
    const TensorView& embedding = checkpoint_.get(weight_name("embed_tokens"));
    if (tensor->dtype != embedding.dtype || tensor->shape != embedding.shape ||
        std::memcmp(tensor->bytes.data(), embedding.bytes.data(), embedding.bytes.size()) != 0) {
      checkpoint_.refuse(head, "differs from " + embedding.name +
                                   ", but config.json says "
                                   "tie_word_embeddings");
    }
    known_.insert(head);
  }

  // Constants that old files carry and that follow from config.json.
  static bool is_harmless(const std::string& name) {
    return name.ends_with(".rotary_emb.inv_freq");
  }

  // A ternary head is smaller than what it could be rounded to.
  void check_head_precision() {
    const ModelConfig& model = config_.model;
    const bool ternary = model.ternary_head || (model.tied_embeddings && model.ternary_embedding);
    if (ternary && options_.head_precision != HeadPrecision::kAsCheckpoint) {
      throw Error(ErrorCode::kUnsupportedModel,
                  checkpoint_.config_path() +
                      ": the output head is ternary, which no other precision improves; leave "
                      "unembed_quant out",
                  "head_precision");
    }
  }

  void declare() {
    for (const DenseSpec& spec : layout_.dense) {
      const TensorView& tensor = checkpoint_.get(weight_name(spec.name));
      const bool rounded = is_head(spec) && options_.head_precision == HeadPrecision::kBf16;
      const Dtype dtype = dense_dtype(tensor, rounded);
      dense_dtypes_[spec.name] = dtype;
      if (const auto format = quantized_format(spec)) {
        const auto row = static_cast<std::int64_t>(quantized_layout(*format, spec.cols).row_bytes);
        writer_.declare(quantized_name(spec.name, *format), Dtype::kU8, {spec.rows, row});
      } else if (is_split(spec)) {
        declare_split(spec);
      } else {
        writer_.declare(spec.name, dtype, {spec.rows, spec.cols});
      }
    }
    for (const NormSpec& spec : layout_.norms) {
      writer_.declare(spec.name, Dtype::kF32, {spec.size});
    }
    for (const TernarySpec& spec : layout_.linears) linears_.declare(spec);
  }

  // Calls body(offset, floats) on the tensor's elements, widened, piece by piece.
  template <typename Body>
  void for_each_piece(const TensorView& tensor, Body&& body) {
    for (std::size_t begin = 0; begin < tensor.elements(); begin += kChunkElements) {
      const std::size_t count = std::min(kChunkElements, tensor.elements() - begin);
      floats_.resize(count);
      widen(tensor.dtype, tensor.bytes.data() + begin * dtype_size(tensor.dtype), count,
            floats_.data());
      body(begin, std::span<const float>(floats_));
    }
  }

  bool is_head(const DenseSpec& spec) const { return spec.name == layout_.head; }

  std::optional<WeightFormat> quantized_format(const DenseSpec& spec) const {
    if (!is_head(spec)) return std::nullopt;
    switch (options_.head_precision) {
      case HeadPrecision::kInt8:
        return WeightFormat::kInt8;
      case HeadPrecision::kQ8_0:
        return WeightFormat::kQ8_0;
      case HeadPrecision::kQ6K:
        return WeightFormat::kQ6K;
      case HeadPrecision::kQ5_0:
        return WeightFormat::kQ5_0;
      case HeadPrecision::kQ4_0:
        return WeightFormat::kQ4_0;
      default:
        return std::nullopt;
    }
  }

  // BF16 when that loses nothing, or is wanted. Checks the values on the way.
  Dtype dense_dtype(const TensorView& tensor, bool rounded) {
    bool exact = true;
    for_each_piece(tensor, [&](std::size_t, std::span<const float> values) {
      check_finite(tensor, values);
      if (rounded) {
        check_finite(tensor, values, [](float v) { return bf16_to_f32(round_to_bf16(v)); });
        return;
      }
      exact = exact && std::all_of(values.begin(), values.end(), fits_bf16);
    });
    return exact ? Dtype::kBF16 : Dtype::kF32;
  }

  template <typename As = std::identity>
  void check_finite(const TensorView& tensor, std::span<const float> values, As as = {}) {
    if (!std::all_of(values.begin(), values.end(), [&](float v) { return std::isfinite(as(v)); })) {
      checkpoint_.refuse(tensor.name, "holds a value that is not finite");
    }
  }

  void write_quantized(const DenseSpec& spec, WeightFormat format) {
    const TensorView& tensor = checkpoint_.get(weight_name(spec.name));
    RowQuantizer quantizer(format, spec.cols);
    const std::size_t row_bytes = quantizer.layout().row_bytes;
    const std::size_t source_bytes = spec.cols * dtype_size(tensor.dtype);
    const int step = std::max(static_cast<int>(kChunkElements) / spec.cols, 1);
    std::vector<std::uint8_t> rows;
    floats_.resize(spec.cols);
    for (int begin = 0; begin < spec.rows; begin += step) {
      const int end = std::min(begin + step, spec.rows);
      rows.resize((end - begin) * row_bytes);
      for (int row = begin; row < end; ++row) {
        widen(tensor.dtype, tensor.bytes.data() + row * source_bytes, spec.cols, floats_.data());
        quantizer.quantize(floats_, rows.data() + (row - begin) * row_bytes);
      }
      writer_.write(quantized_name(spec.name, format), begin * row_bytes, rows);
    }
  }

  void write_dense(const DenseSpec& spec) {
    const TensorView& tensor = checkpoint_.get(weight_name(spec.name));
    const bool exact = dense_dtypes_[spec.name] == Dtype::kBF16;
    std::vector<std::uint16_t> halves;
    for_each_piece(tensor, [&](std::size_t begin, std::span<const float> values) {
      if (exact) {
        halves.resize(values.size());
        std::transform(values.begin(), values.end(), halves.begin(), round_to_bf16);
        writer_.write(spec.name, begin * 2, as_bytes(halves.data(), halves.size()));
      } else {
        writer_.write(spec.name, begin * 4, as_bytes(values.data(), values.size()));
      }
    });
  }

  // Whether the table is the output head, in bf16, and wanted in halves.
  bool is_split(const DenseSpec& spec) const {
    if (!is_head(spec) || dense_dtypes_.at(spec.name) != Dtype::kBF16 ||
        spec.cols > kMostSplitCols || options_.head_layout == HeadLayout::kPlain) {
      return false;
    }
    const std::size_t elements = static_cast<std::size_t>(spec.rows) * spec.cols;
    return options_.head_layout == HeadLayout::kSplit || elements >= kElementsWorthSplitting;
  }

  // Splits every row, and gives body(row, high, low, facts) each. The exceptions gather on the way.
  template <typename Body>
  void for_each_split_row(const DenseSpec& spec, Body&& body) {
    const TensorView& tensor = checkpoint_.get(weight_name(spec.name));
    const std::size_t stride = split_stride(spec.cols);
    const std::size_t cols = spec.cols;
    const std::size_t bytes = cols * dtype_size(tensor.dtype);
    std::vector<std::uint8_t> high(stride);
    std::vector<std::uint8_t> low(stride);
    std::vector<std::uint16_t> halves(cols);
    floats_.resize(cols);
    exception_starts_.assign(1, 0);
    exception_columns_.clear();
    exception_bits_.clear();
    for (int row = 0; row < spec.rows; ++row) {
      widen(tensor.dtype, tensor.bytes.data() + row * bytes, cols, floats_.data());
      std::transform(floats_.begin(), floats_.end(), halves.begin(), round_to_bf16);
      const SplitRow facts =
          split_row(halves, high.data(), low.data(), exception_columns_, exception_bits_);
      if (exception_columns_.size() > kMostSplitExceptions) {
        checkpoint_.refuse(tensor.name, "has too many values to keep apart; pack it in one piece");
      }
      exception_starts_.push_back(static_cast<std::uint32_t>(exception_columns_.size()));
      body(row, high, low, facts);
    }
  }

  void declare_split(const DenseSpec& spec) {
    // How many exceptions there are must be known before anything is written.
    for_each_split_row(spec, [](int, const auto&, const auto&, const SplitRow&) {});
    const std::int64_t exceptions = static_cast<std::int64_t>(exception_columns_.size());
    const auto part = [&](std::string_view suffix, Dtype dtype, std::vector<std::int64_t> shape) {
      writer_.declare(spec.name + std::string(suffix), dtype, std::move(shape));
    };
    part(kHigh, Dtype::kU8, {spec.rows, split_stride(spec.cols)});
    part(kLow, Dtype::kU8, {spec.rows, split_stride(spec.cols)});
    for (const std::string_view suffix : {kScales, kResiduals, kNorms}) {
      part(suffix, Dtype::kF32, {spec.rows});
    }
    part(kStarts, Dtype::kU32, {spec.rows + 1});
    part(kColumns, Dtype::kU16, {exceptions});
    part(kBits, Dtype::kBF16, {exceptions});
  }

  void write_split(const DenseSpec& spec) {
    const auto part = [&](std::string_view suffix, std::size_t offset,
                          std::span<const std::uint8_t> bytes) {
      writer_.write(spec.name + std::string(suffix), offset, bytes);
    };
    const std::size_t stride = split_stride(spec.cols);
    const std::size_t step = std::max<std::size_t>(kChunkElements / stride, 1);
    std::vector<std::uint8_t> highs;
    std::vector<std::uint8_t> lows;
    std::vector<float> scales, residuals, norms;
    for_each_split_row(spec, [&](int row, const auto& high, const auto& low, const SplitRow& f) {
      highs.insert(highs.end(), high.begin(), high.end());
      lows.insert(lows.end(), low.begin(), low.end());
      scales.push_back(f.scale);
      residuals.push_back(f.residual);
      norms.push_back(f.norm);
      if (highs.size() < step * stride && row + 1 < spec.rows) return;
      const std::size_t offset = (row + 1) * stride - highs.size();
      part(kHigh, offset, highs);
      part(kLow, offset, lows);
      highs.clear();
      lows.clear();
    });
    part(kScales, 0, as_bytes(scales.data(), scales.size()));
    part(kResiduals, 0, as_bytes(residuals.data(), residuals.size()));
    part(kNorms, 0, as_bytes(norms.data(), norms.size()));
    part(kStarts, 0, as_bytes(exception_starts_.data(), exception_starts_.size()));
    part(kColumns, 0, as_bytes(exception_columns_.data(), exception_columns_.size()));
    part(kBits, 0, as_bytes(exception_bits_.data(), exception_bits_.size()));
  }

  void write_norm(const NormSpec& spec) {
    const TensorView& tensor = checkpoint_.get(weight_name(spec.name));
    for_each_piece(tensor, [&](std::size_t begin, std::span<const float> values) {
      check_finite(tensor, values);
      writer_.write(spec.name, begin * 4, as_bytes(values.data(), values.size()));
    });
  }

  const Checkpoint& checkpoint_;
  const PackOptions options_;
  const CheckpointForm form_;
  const CheckpointConfig& config_;
  const BundleLayout layout_;
  SafetensorsWriter writer_;
  LinearPacker linears_;
  std::set<std::string> known_;  // tensors of the checkpoint that the bundle is made from
  std::map<std::string, Dtype> dense_dtypes_;  // as declared
  std::vector<float> floats_;
  std::vector<std::uint32_t> exception_starts_;
  std::vector<std::uint16_t> exception_columns_;
  std::vector<std::uint16_t> exception_bits_;
};

}  // namespace

void pack_checkpoint(const std::string& checkpoint_dir, const std::string& bundle_path,
                     const PackOptions& options) {
  const Checkpoint checkpoint = Checkpoint::open(checkpoint_dir);
  Packer(checkpoint, bundle_path, options).run();
}

}  // namespace sterna
