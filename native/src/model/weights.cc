#include "model/weights.h"

#include <bit>
#include <utility>

#include "format/bundle_layout.h"
#include "format/dtype.h"
#include "format/split_rows.h"
#include "kernels/grouped.h"

namespace sterna {

void DenseMatrix::row(int index, float* out) const {
  const std::size_t begin = static_cast<std::size_t>(index) * cols;
  for (int i = 0; i < cols; ++i) {
    out[i] = f32 != nullptr
                 ? f32[begin + i]
                 : std::bit_cast<float>(static_cast<std::uint32_t>(bf16[begin + i]) << 16);
  }
}

void SplitMatrix::row(int index, const Kernels& kernels, float* out) const {
  const std::size_t begin = index * stride;
  kernels.join_halves(high + begin, low + begin, cols, scales[index], out);
  patch(index, out);
}

void SplitMatrix::patch(int index, float* out) const {
  for (std::uint32_t i = exception_starts[index]; i < exception_starts[index + 1]; ++i) {
    // The columns of a bundle are not read when it is opened.
    if (exception_columns[i] < cols) out[exception_columns[i]] = bf16_to_f32(exception_bits[i]);
  }
}

LoadedModel::LoadedModel(Bundle bundle) : bundle_(std::move(bundle)) {
  const ModelConfig& c = bundle_.config();
  load_tables(c);
  final_norm_ = norm("norm", c.hidden_size);
  layers_.reserve(c.layers);
  for (int i = 0; i < c.layers; ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    LayerWeights layer;
    layer.input_norm = norm(prefix + "input_norm", c.hidden_size);
    layer.post_attention_norm = norm(prefix + "post_attention_norm", c.hidden_size);
    if (c.sub_norms) {
      layer.attn_sub_norm = norm(prefix + "attn_sub_norm", c.heads * c.head_dim);
      layer.ffn_sub_norm = norm(prefix + "ffn_sub_norm", c.intermediate_size);
    }
    if (c.qk_norms) {
      layer.q_norm = norm(prefix + "q_norm", c.head_dim);
      layer.k_norm = norm(prefix + "k_norm", c.head_dim);
    }
    layer.q = linear(prefix + "q");
    layer.k = linear(prefix + "k");
    layer.v = linear(prefix + "v");
    layer.o = linear(prefix + "o");
    layer.gate = linear(prefix + "gate");
    layer.up = linear(prefix + "up");
    layer.down = linear(prefix + "down");
    layers_.push_back(layer);
  }
}

void LoadedModel::load_tables(const ModelConfig& c) {
  if (c.ternary_embedding) ternary_embedding_ = ternary("embed_tokens");
  const char* head = c.tied_embeddings ? "embed_tokens" : "lm_head";
  if (c.tied_embeddings && c.ternary_embedding) {
    ternary_head_ = ternary_embedding_;
  } else if (c.ternary_head) {
    ternary_head_ = ternary(head);
  } else if (bundle_.is_split(head)) {
    split_head_ = split(head, c.vocab_size, c.hidden_size);
  } else if (const auto format = bundle_.quantized_format(head)) {
    const TensorView& tensor = bundle_.tensor(quantized_name(head, *format));
    quantized_head_ = {tensor.bytes.data(), *format, c.vocab_size, c.hidden_size};
    parameter_count_ += static_cast<std::int64_t>(c.vocab_size) * c.hidden_size;
  } else {
    head_ = dense(head, c.vocab_size, c.hidden_size);
  }
  if (c.ternary_embedding) return;
  embedding_ = c.tied_embeddings ? head_ : dense("embed_tokens", c.vocab_size, c.hidden_size);
}

std::int64_t LoadedModel::weight_bytes() const {
  return static_cast<std::int64_t>(bundle_.weight_bytes());
}

Linear LoadedModel::linear(const std::string& name) {
  Linear linear{ternary(name)};
  if (config().projection_norms) linear.norm = norm(name + ".norm", linear.cols);
  return linear;
}

TernaryMatrix LoadedModel::ternary(const std::string& name) {
  const TernaryMatrix matrix = bundle_.ternary(name);
  parameter_count_ += static_cast<std::int64_t>(matrix.rows) * matrix.cols;
  return matrix;
}

DenseMatrix LoadedModel::dense(const std::string& name, int rows, int cols) {
  const TensorView& tensor = bundle_.tensor(name);
  parameter_count_ += static_cast<std::int64_t>(rows) * cols;
  DenseMatrix matrix;
  matrix.rows = rows;
  matrix.cols = cols;
  if (tensor.dtype == Dtype::kBF16) {
    matrix.bf16 = reinterpret_cast<const std::uint16_t*>(tensor.bytes.data());
  } else {
    matrix.f32 = reinterpret_cast<const float*>(tensor.bytes.data());
  }
  return matrix;
}

SplitMatrix LoadedModel::split(const std::string& name, int rows, int cols) {
  parameter_count_ += static_cast<std::int64_t>(rows) * cols;
  const auto part = [&]<typename T>(std::string_view suffix, const T*& out) {
    out = reinterpret_cast<const T*>(bundle_.tensor(name + std::string(suffix)).bytes.data());
  };
  SplitMatrix matrix;
  part(kHigh, matrix.high);
  part(kLow, matrix.low);
  part(kScales, matrix.scales);
  part(kResiduals, matrix.residuals);
  part(kNorms, matrix.norms);
  part(kStarts, matrix.exception_starts);
  part(kColumns, matrix.exception_columns);
  part(kBits, matrix.exception_bits);
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.stride = split_stride(cols);
  return matrix;
}

void LoadedModel::embed(int token, const Kernels& kernels, float* out) const {
  if (ternary_embedding_.rows > 0) {
    ternary_row(ternary_embedding_, token, out);
  } else if (embedding_.rows > 0) {
    embedding_.row(token, out);
  } else if (quantized_head_.rows > 0) {
    widen_quantized(quantized_head_, token, out);
  } else {
    split_head_.row(token, kernels, out);
  }
}

const float* LoadedModel::norm(const std::string& name, int size) {
  parameter_count_ += size;
  return bundle_.f32(name, static_cast<std::size_t>(size)).data();
}

std::shared_ptr<const Model> Model::open(const std::string& path) {
  return std::make_shared<const LoadedModel>(Bundle::open(path));
}

}  // namespace sterna
