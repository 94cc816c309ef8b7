#include "model/transformer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace sterna {

namespace {

// Rows are cheap one by one; this many operations an element make `split` share them.
constexpr double kElementwiseWork = 8.0;

int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

int widest_input(const ModelConfig& c) {
  return std::max({c.hidden_size, c.intermediate_size, c.heads * c.head_dim});
}

}  // namespace

Transformer::Transformer(std::shared_ptr<const LoadedModel> model, const Kernels& kernels,
                         ThreadPool& pool, int max_rows)
    : model_(std::move(model)),
      config_(model_->config()),
      kernels_(kernels),
      pool_(pool),
      max_rows_(max_rows),
      rotary_(config_.rope_theta, config_.head_dim) {
  const auto rows = static_cast<std::size_t>(max_rows);
  const std::size_t query = static_cast<std::size_t>(config_.heads) * config_.head_dim;
  const std::size_t kv = static_cast<std::size_t>(config_.kv_heads) * config_.head_dim;
  const std::size_t input = widest_input(config_);
  states_ = AlignedBuffer<float>(rows * config_.hidden_size);
  normed_ = AlignedBuffer<float>(rows * input);
  query_ = AlignedBuffer<float>(rows * query);
  key_ = AlignedBuffer<float>(rows * kv);
  value_ = AlignedBuffer<float>(rows * kv);
  attended_ = AlignedBuffer<float>(rows * query);
  delta_ = AlignedBuffer<float>(rows * config_.hidden_size);
  gate_ = AlignedBuffer<float>(rows * config_.intermediate_size);
  up_ = AlignedBuffer<float>(rows * config_.intermediate_size);
  cos_ = AlignedBuffer<float>(rows * config_.head_dim / 2);
  sin_ = AlignedBuffer<float>(rows * config_.head_dim / 2);
  head_input_ = AlignedBuffer<float>(rows * config_.hidden_size);
  codes_ = AlignedBuffer<std::int8_t>(rows * round_up(static_cast<int>(input), 64));
  steps_ = AlignedBuffer<float>(rows);
  sums_ = AlignedBuffer<std::int32_t>(rows);
}

void Transformer::forward(const std::vector<BatchRow>& rows, const KvLayout& cache) {
  const int count = static_cast<int>(rows.size());
  for (int i = 0; i < count; ++i) {
    model_->embedding().row(rows[i].token,
                            states_.data() + static_cast<std::size_t>(i) * config_.hidden_size);
  }
  compute_angles(rows);
  for (int index = 0; index < model_->layer_count(); ++index) {
    const LayerWeights& weights = model_->layer(index);
    // The previous layer's feed-forward output is added as the rows are read for the norm.
    add_norm_quantize(states_.data(), index == 0 ? nullptr : delta_.data(), weights.input_norm,
                      count, config_.hidden_size);
    attention_block(weights, index, rows, cache);
    add_norm_quantize(states_.data(), delta_.data(), weights.post_attention_norm, count,
                      config_.hidden_size);
    feed_forward_block(weights, count);
  }
  const auto hidden = static_cast<std::size_t>(config_.hidden_size);
  pool_.split(count, count * hidden * kElementwiseWork, [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      float* state = states_.data() + i * hidden;
      kernels_.add(state, delta_.data() + i * hidden, config_.hidden_size);
      kernels_.rms_norm(state, model_->final_norm(), config_.hidden_size, config_.rms_norm_eps,
                        state);
    }
  });
}

const float* Transformer::hidden(int row) const {
  return states_.data() + static_cast<std::size_t>(row) * config_.hidden_size;
}

void Transformer::logits(const std::vector<const float*>& states, float* out) {
  const auto hidden_size = static_cast<std::size_t>(config_.hidden_size);
  const auto vocab = static_cast<std::size_t>(config_.vocab_size);
  const DenseMatrix& head = model_->head();
  const int count = static_cast<int>(states.size());
  for (int i = 0; i < count; ++i) {
    std::memcpy(head_input_.data() + i * hidden_size, states[i], hidden_size * sizeof(float));
  }
  // Two operations a weight, each some ten times dearer than an int8 one.
  const double work = 20.0 * static_cast<double>(vocab) * hidden_size * count;
  pool_.split(config_.vocab_size, work, [&](int begin, int end) {
    if (head.bf16 != nullptr) {
      kernels_.matmul_bf16(head.bf16, config_.hidden_size, begin, end, head_input_.data(), count,
                           hidden_size, out, vocab);
    } else {
      kernels_.matmul_f32(head.f32, config_.hidden_size, begin, end, head_input_.data(), count,
                          hidden_size, out, vocab);
    }
  });
}

void Transformer::layer(int index, const std::vector<BatchRow>& rows, const KvLayout& cache,
                        float* states) {
  const int count = static_cast<int>(rows.size());
  const LayerWeights& weights = model_->layer(index);
  compute_angles(rows);
  add_norm_quantize(states, nullptr, weights.input_norm, count, config_.hidden_size);
  attention_block(weights, index, rows, cache);
  add_norm_quantize(states, delta_.data(), weights.post_attention_norm, count, config_.hidden_size);
  feed_forward_block(weights, count);
  kernels_.add(states, delta_.data(), count * config_.hidden_size);
}

void Transformer::linear(const TernaryMatrix& weight, const float* x, int rows, float* y,
                         std::int8_t* codes, float* steps) {
  const auto cols = static_cast<std::size_t>(weight.cols);
  for (int i = 0; i < rows; ++i) quantize(x + i * cols, i, weight.cols);
  const QuantizedRows input = quantized(rows, weight.cols);
  project(rows, {{&weight, y, static_cast<std::size_t>(weight.rows)}});
  for (int i = 0; i < rows; ++i) {
    std::memcpy(codes + i * cols, input.codes + static_cast<std::size_t>(i) * input.stride, cols);
    steps[i] = input.steps[i];
  }
}

void Transformer::attention_block(const LayerWeights& weights, int layer,
                                  const std::vector<BatchRow>& rows, const KvLayout& cache) {
  const int count = static_cast<int>(rows.size());
  const std::size_t query_size = static_cast<std::size_t>(config_.heads) * config_.head_dim;
  const std::size_t kv_size = static_cast<std::size_t>(config_.kv_heads) * config_.head_dim;
  project(count, {{&weights.q, query_.data(), query_size},
                  {&weights.k, key_.data(), kv_size},
                  {&weights.v, value_.data(), kv_size}});
  const std::size_t half = config_.head_dim / 2;
  pool_.split(
      count, count * (query_size + 2 * kv_size) * kElementwiseWork, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) {
          const float* cos = cos_.data() + i * half;
          const float* sin = sin_.data() + i * half;
          kernels_.rope(query_.data() + i * query_size, config_.heads, config_.head_dim, cos, sin);
          kernels_.rope(key_.data() + i * kv_size, config_.kv_heads, config_.head_dim, cos, sin);
          const int position = rows[i].position;
          const std::int32_t block = rows[i].block_table[position / kKvBlockTokens];
          for (int h = 0; h < config_.kv_heads; ++h) {
            const std::size_t at = i * kv_size + static_cast<std::size_t>(h) * config_.head_dim;
            cache.store(layer, h, block, position % kKvBlockTokens, key_.data() + at,
                        value_.data() + at);
          }
        }
      });
  attend(layer, rows, cache);
  add_norm_quantize(attended_.data(), nullptr, weights.attn_sub_norm, count,
                    static_cast<int>(query_size));
  project(count, {{&weights.o, delta_.data(), static_cast<std::size_t>(config_.hidden_size)}});
}

void Transformer::attend(int layer, const std::vector<BatchRow>& rows, const KvLayout& cache) {
  const int count = static_cast<int>(rows.size());
  const int group = config_.heads / config_.kv_heads;
  const std::size_t query_size = static_cast<std::size_t>(config_.heads) * config_.head_dim;
  const std::size_t group_size = static_cast<std::size_t>(group) * config_.head_dim;
  double positions = 0.0;
  for (const BatchRow& row : rows) positions += row.position + 1;
  // Per position and head element: two multiply-adds in single precision.
  pool_.stride(count * config_.kv_heads, positions * query_size * 8.0, [&](int item) {
    const int i = item / config_.kv_heads;
    const int kv_head = item % config_.kv_heads;
    const std::size_t at = i * query_size + kv_head * group_size;
    AttentionArgs args;
    args.query = query_.data() + at;
    args.group = group;
    args.head_dim = config_.head_dim;
    args.length = rows[i].position + 1;
    args.scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
    args.keys = cache.keys(layer, kv_head);
    args.values = cache.values(layer, kv_head);
    args.block_stride = cache.block_stride();
    args.block_table = rows[i].block_table;
    args.out = attended_.data() + at;
    kernels_.attention(args);
  });
}

void Transformer::feed_forward_block(const LayerWeights& weights, int rows) {
  const auto size = static_cast<std::size_t>(config_.intermediate_size);
  project(rows, {{&weights.gate, gate_.data(), size}, {&weights.up, up_.data(), size}});
  const auto gating =
      config_.activation == Activation::kRelu2 ? kernels_.relu2_mul : kernels_.silu_mul;
  pool_.split(rows, rows * size * 2.0 * kElementwiseWork, [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      float* gate = gate_.data() + i * size;
      gating(gate, up_.data() + i * size, config_.intermediate_size, gate);
      if (weights.ffn_sub_norm != nullptr) {
        kernels_.rms_norm(gate, weights.ffn_sub_norm, config_.intermediate_size,
                          config_.rms_norm_eps, gate);
      }
      quantize(gate, i, config_.intermediate_size);
    }
  });
  project(rows, {{&weights.down, delta_.data(), static_cast<std::size_t>(config_.hidden_size)}});
}

void Transformer::add_norm_quantize(float* states, const float* delta, const float* norm, int rows,
                                    int size) {
  const auto stride = static_cast<std::size_t>(size);
  pool_.split(rows, rows * stride * kElementwiseWork, [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      float* state = states + i * stride;
      const float* input = state;
      if (delta != nullptr) kernels_.add(state, delta + i * stride, size);
      if (norm != nullptr) {
        float* normed = normed_.data() + i * stride;
        kernels_.rms_norm(state, norm, size, config_.rms_norm_eps, normed);
        input = normed;
      }
      quantize(input, i, size);
    }
  });
}

QuantizedRows Transformer::quantized(int rows, int size) {
  return {codes_.data(), steps_.data(), sums_.data(), rows, round_up(size, 64)};
}

void Transformer::quantize(const float* x, int row, int size) {
  const QuantizedRows out = quantized(row + 1, size);
  kernels_.quantize_row(x, size, out.codes + static_cast<std::size_t>(row) * out.stride, out.stride,
                        out.steps + row, out.sums + row);
}

// Several matrices that read the same input form one range of tiles, split once over the threads.
void Transformer::project(int rows, std::initializer_list<Projection> projections) {
  int tiles = 0;
  for (const Projection& p : projections) tiles += p.weight->row_tiles();
  const int cols = projections.begin()->weight->cols;
  const QuantizedRows input = quantized(rows, cols);
  const double work = static_cast<double>(tiles) * kTileRows * cols * std::max(rows, 4) / 4;
  pool_.split(tiles, work, [&](int begin, int end) {
    int first = 0;  // this matrix's first tile within the joint range
    for (const Projection& p : projections) {
      const int count = p.weight->row_tiles();
      const int from = std::max(begin - first, 0);
      const int to = std::min(end - first, count);
      if (from < to) kernels_.ternary_matmul(*p.weight, input, from, to, p.y, p.y_stride);
      first += count;
    }
  });
}

void Transformer::compute_angles(const std::vector<BatchRow>& rows) {
  const std::size_t half = config_.head_dim / 2;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rotary_.angles(rows[i].position, cos_.data() + i * half, sin_.data() + i * half);
  }
}

}  // namespace sterna
