#include "model/transformer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace sterna {

namespace {

constexpr int kLineFloats = 16;  // floats in a cache line

int widest_input(const ModelConfig& c) {
  return std::max({c.hidden_size, c.intermediate_size, c.heads * c.head_dim});
}

}  // namespace

Transformer::Transformer(std::shared_ptr<const LoadedModel> model, const Kernels& kernels,
                         ThreadPool& pool, int max_rows, bool attention_tiles, bool sparsity)
    : model_(std::move(model)),
      config_(model_->config()),
      kernels_(kernels),
      pool_(pool),
      max_rows_(max_rows),
      rotary_(config_),
      attention_(config_, kernels, attention_tiles),
      head_(*model_, kernels_, pool_, max_rows),
      sparse_(*model_, kernels, pool.size(), sparsity),
      low_rank_(kernels) {
  const auto rows = static_cast<std::size_t>(max_rows);
  const std::size_t query = static_cast<std::size_t>(config_.heads) * config_.head_dim;
  const std::size_t kv = static_cast<std::size_t>(config_.kv_heads) * config_.head_dim;
  const std::size_t input = widest_input(config_);
  const std::size_t slots = std::max(max_rows, pool.size());
  states_ = AlignedBuffer<float>(slots * config_.hidden_size);
  normed_ = AlignedBuffer<float>(slots * input);
  if (config_.projection_norms) own_ = AlignedBuffer<float>(slots * input);
  codes_ = AlignedBuffer<std::int8_t>(slots * code_stride(static_cast<int>(input)));
  step_stride_ = (groups(static_cast<int>(input)) + kLineFloats - 1) / kLineFloats * kLineFloats;
  steps_ = AlignedBuffer<float>(slots * step_stride_);
  sums_ = AlignedBuffer<std::int32_t>(slots * step_stride_);
  query_ = AlignedBuffer<float>(rows * query);
  key_ = AlignedBuffer<float>(rows * kv);
  value_ = AlignedBuffer<float>(rows * kv);
  attended_ = AlignedBuffer<float>(rows * query);
  delta_ = AlignedBuffer<float>(rows * config_.hidden_size);
  gate_ = AlignedBuffer<float>(rows * config_.intermediate_size);
  up_ = AlignedBuffer<float>(rows * config_.intermediate_size);
  cos_ = AlignedBuffer<float>(rows * config_.head_dim / 2);
  sin_ = AlignedBuffer<float>(rows * config_.head_dim / 2);
}

void Transformer::forward(const std::vector<BatchRow>& rows, const KvLayout& cache) {
  const int count = static_cast<int>(rows.size());
  const auto hidden = static_cast<std::size_t>(config_.hidden_size);
  compute_angles(rows);
  attention_.plan(rows, pool_.size());
  low_rank_.plan(rows);
  const bool copying = sparse_.start_step(count);
  pool_.run_team(work_per_barrier(count), [&](const Team& team) {
    const Pass pass{team, count};
    const Team::Share share = pass.rows();
    if (copying) sparse_.copy_layer(team);
    for (int i = share.begin; i < share.end; ++i) {
      model_->embed(rows[i].token, kernels_, states_.data() + pass.slot(i) * hidden);
    }
    for (int index = 0; index < model_->layer_count(); ++index) {
      // The previous layer's output is added as the rows are read for the norm.
      layer_block(pass, index, rows, cache, index == 0 ? nullptr : delta_.data());
    }
    for (int i = share.begin; i < share.end; ++i) {
      float* state = states_.data() + pass.slot(i) * hidden;
      kernels_.add(state, delta_.data() + i * hidden, config_.hidden_size);
      kernels_.rms_norm(state, model_->final_norm(), config_.hidden_size, config_.rms_norm_eps,
                        state);
    }
  });
  sparse_.finish_step();
}

const float* Transformer::hidden(int row) const {
  return states_.data() + static_cast<std::size_t>(row) * config_.hidden_size;
}

void Transformer::layer(int index, const std::vector<BatchRow>& rows, const KvLayout& cache,
                        float* states) {
  const int count = static_cast<int>(rows.size());
  const auto hidden = static_cast<std::size_t>(config_.hidden_size);
  compute_angles(rows);
  attention_.plan(rows, pool_.size());
  low_rank_.plan(rows);
  pool_.run_team(work_per_barrier(count), [&](const Team& team) {
    const Pass pass{team, count};
    const Team::Share share = pass.rows();
    for (int i = share.begin; i < share.end; ++i) {
      std::memcpy(states_.data() + pass.slot(i) * hidden, states + i * hidden,
                  hidden * sizeof(float));
    }
    layer_block(pass, index, rows, cache, nullptr);
  });
  std::memcpy(states, states_.data(), count * hidden * sizeof(float));
  kernels_.add(states, delta_.data(), count * config_.hidden_size);
}

void Transformer::linear(const Linear& weight, const float* x, int rows, float* y,
                         std::int8_t* codes, float* steps) {
  const auto cols = static_cast<std::size_t>(weight.cols);
  const double work = static_cast<double>(weight.rows) * weight.cols * rows;
  pool_.run_team(work, [&](const Team& team) {
    const Pass pass{team, rows};
    norm_quantize(pass, x, nullptr, weight.cols);
    multiply(pass, {{&weight, y, static_cast<std::size_t>(weight.rows)}});
  });
  const QuantizedRows input = quantized({Team(), rows}, weight.cols);
  for (int i = 0; i < rows; ++i) {
    std::memcpy(codes + i * cols, input.codes + static_cast<std::size_t>(i) * input.stride, cols);
  }
  std::copy_n(input.steps, static_cast<std::size_t>(rows) * groups(weight.cols), steps);
}

// The layer's output is left in delta_: what it adds to the residual stream.
void Transformer::layer_block(const Pass& pass, int layer, const std::vector<BatchRow>& rows,
                              const KvLayout& cache, const float* delta) {
  const LayerWeights& weights = model_->layer(layer);
  add_norm_quantize(pass, delta, weights.input_norm);
  attention_block(pass, layer, rows, cache);
  add_norm_quantize(pass, delta_.data(), weights.post_attention_norm);
  feed_forward_block(pass, layer);
}

void Transformer::attention_block(const Pass& pass, int layer, const std::vector<BatchRow>& rows,
                                  const KvLayout& cache) {
  const LayerWeights& weights = model_->layer(layer);
  const std::size_t query_size = static_cast<std::size_t>(config_.heads) * config_.head_dim;
  const std::size_t kv_size = static_cast<std::size_t>(config_.kv_heads) * config_.head_dim;
  multiply(pass, {{&weights.q, query_.data(), query_size},
                  {&weights.k, key_.data(), kv_size},
                  {&weights.v, value_.data(), kv_size}});
  if (low_rank_.active()) {
    adapt(pass, layer, Stage::kAttention,
          normed(pass, nullptr, weights.input_norm, config_.hidden_size), config_.hidden_size,
          {{Projection::kQ, static_cast<int>(query_size), query_.data()},
           {Projection::kK, static_cast<int>(kv_size), key_.data()},
           {Projection::kV, static_cast<int>(kv_size), value_.data()}});
  }
  pass.team.sync();
  // A row attends to what other rows of its sequence, and other workers, have stored; but where
  // every KV head has one row and one worker, each stores and goes on.
  const bool apart = !pass.alone() || attention_.cuts();
  if (apart) {
    const int items = pass.count * config_.kv_heads;
    for (int item = pass.team.worker(); item < items; item += pass.team.size()) {
      rotate_and_store(item, layer, rows, cache);
    }
    pass.team.sync();
  }
  const AttentionLayer states{layer, &cache, query_.data(), attended_.data()};
  for (int share = pass.team.worker(); share < pool_.size(); share += pass.team.size()) {
    attention_.run(share, states, [&](int kv_head) {
      if (!apart) rotate_and_store(kv_head, layer, rows, cache);
    });
  }
  if (attention_.cuts()) {
    pass.team.sync();
    attention_.join(pass.team.worker(), pass.team.size(), states);
  }
  pass.team.sync();
  norm_quantize(pass, attended_.data(), weights.attn_sub_norm, static_cast<int>(query_size));
  multiply(pass, {{&weights.o, delta_.data(), static_cast<std::size_t>(config_.hidden_size)}});
  if (low_rank_.active()) {
    const int size = static_cast<int>(query_size);
    adapt(pass, layer, Stage::kOutput, normed(pass, attended_.data(), weights.attn_sub_norm, size),
          size, {{Projection::kO, config_.hidden_size, delta_.data()}});
  }
  pass.team.sync();
}

// Normalizes, where the model does, and rotates a KV head's key and the queries that share it, and
// stores its key and value.
void Transformer::rotate_and_store(int item, int layer, const std::vector<BatchRow>& rows,
                                   const KvLayout& cache) {
  const int i = item / config_.kv_heads;
  const int kv_head = item % config_.kv_heads;
  const int group = config_.heads / config_.kv_heads;
  const std::size_t half = config_.head_dim / 2;
  const float* cos = cos_.data() + i * half;
  const float* sin = sin_.data() + i * half;
  const std::size_t at = static_cast<std::size_t>(item) * config_.head_dim;  // [rows][kv_heads]
  const int size = config_.head_dim;
  float* queries = query_.data() + at * group;
  float* key = key_.data() + at;
  if (config_.qk_norms) {
    const LayerWeights& weights = model_->layer(layer);
    for (int head = 0; head < group; ++head) {
      float* query = queries + static_cast<std::size_t>(head) * size;
      kernels_.rms_norm(query, weights.q_norm, size, config_.rms_norm_eps, query);
    }
    kernels_.rms_norm(key, weights.k_norm, size, config_.rms_norm_eps, key);
  }
  kernels_.rope(queries, group, size, cos, sin);
  kernels_.rope(key, 1, size, cos, sin);
  const int position = rows[i].position;
  const std::int32_t block = rows[i].block_table[position / kKvBlockTokens];
  cache.store(kernels_, layer, kv_head, block, position % kKvBlockTokens, key, value_.data() + at);
}

void Transformer::feed_forward_block(const Pass& pass, int layer) {
  const LayerWeights& weights = model_->layer(layer);
  const int size = config_.intermediate_size;
  const auto stride = static_cast<std::size_t>(size);
  const auto expand = [&](Projection projection, int begin, int end, float* y) {
    if (low_rank_.active()) low_rank_.expand(layer, projection, begin, end, y, stride);
  };
  if (low_rank_.active()) {
    low_rank_.reduce(pass.team, layer, Stage::kGateUp,
                     normed(pass, nullptr, weights.post_attention_norm, config_.hidden_size),
                     config_.hidden_size);
    pass.team.sync();
  }
  if (config_.projection_norms) {
    multiply(pass, {{&weights.gate, gate_.data(), stride}, {&weights.up, up_.data(), stride}});
    pass.team.sync();
    const Team::Share columns = pass.team.share(size);
    expand(Projection::kGate, columns.begin, columns.end, gate_.data());
    expand(Projection::kUp, columns.begin, columns.end, up_.data());
    gate_columns(pass, columns.begin, columns.end);
  } else {
    // Each worker computes the same columns of gate and up, so gating needs no barrier between.
    const QuantizedRows input = quantized(pass, config_.hidden_size);
    const Team::Share tiles = pass.team.share(weights.gate.row_tiles());
    if (tiles.begin < tiles.end) {
      const int begin = tiles.begin * kTileRows;
      const int end = std::min(tiles.end * kTileRows, size);
      kernels_.ternary_matmul(weights.gate, input, tiles.begin, tiles.end, gate_.data(), stride);
      expand(Projection::kGate, begin, end, gate_.data());
      const bool skips =
          low_rank_.moderate(layer, Projection::kUp) &&
          sparse_.multiply_up(layer, pass.team.worker(), input, tiles, gate_.data(), up_.data());
      if (!skips) {
        kernels_.ternary_matmul(weights.up, input, tiles.begin, tiles.end, up_.data(), stride);
      }
      expand(Projection::kUp, begin, end, up_.data());
      gate_columns(pass, begin, end);
    }
  }
  pass.team.sync();
  norm_quantize(pass, gate_.data(), weights.ffn_sub_norm, size);
  const bool skips = !config_.projection_norms &&
                     sparse_.multiply_down(layer, pass.team, quantized(pass, size), delta_.data());
  if (!skips) {
    multiply(pass, {{&weights.down, delta_.data(), static_cast<std::size_t>(config_.hidden_size)}});
  }
  if (low_rank_.active()) {
    adapt(pass, layer, Stage::kDown, normed(pass, gate_.data(), weights.ffn_sub_norm, size), size,
          {{Projection::kDown, config_.hidden_size, delta_.data()}});
  }
  pass.team.sync();
}

// Columns [begin, end) of all rows, from gate_ and up_ to gate_.
void Transformer::gate_columns(const Pass& pass, int begin, int end) {
  const auto gating =
      config_.activation == Activation::kRelu2 ? kernels_.relu2_mul : kernels_.silu_mul;
  const auto stride = static_cast<std::size_t>(config_.intermediate_size);
  for (int i = 0; i < pass.count; ++i) {
    float* gate = gate_.data() + i * stride + begin;
    gating(gate, up_.data() + i * stride + begin, end - begin, gate);
  }
}

void Transformer::compute_angles(const std::vector<BatchRow>& rows) {
  const std::size_t half = config_.head_dim / 2;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rotary_.angles(rows[i].position, rows[i].long_text, cos_.data() + i * half,
                   sin_.data() + i * half);
  }
}

// Arithmetic operations between two barriers of a layer, on average.
double Transformer::work_per_barrier(int rows) const {
  const double query = static_cast<double>(config_.heads) * config_.head_dim;
  const double kv = static_cast<double>(config_.kv_heads) * config_.head_dim;
  const double weights =
      config_.hidden_size * (2.0 * (query + kv) + 3.0 * config_.intermediate_size);
  // Four rows take as long as one: unpacking costs as much as multiplying.
  return rows == 1 ? weights / 5 : weights * std::max(rows, 4) / 4 / 10;
}

}  // namespace sterna
