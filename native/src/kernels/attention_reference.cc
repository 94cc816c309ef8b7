#include "kernels/attention_reference.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "format/dtype.h"
#include "kernels/reference_math.h"

namespace sterna {

using namespace reference;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Element `i` of the keys or values of a block.
float cached_number(KvType type, const std::byte* numbers, std::size_t i) {
  switch (type) {
    case KvType::kBf16:
      return bf16_to_f32(reinterpret_cast<const std::uint16_t*>(numbers)[i]);
    case KvType::kInt8:
      return static_cast<float>(reinterpret_cast<const std::int8_t*>(numbers)[i]);
    default:
      return reinterpret_cast<const float*>(numbers)[i];
  }
}

std::size_t number_size(KvType type) {
  return type == KvType::kF32 ? sizeof(float) : type == KvType::kBf16 ? 2 : 1;
}

// One block of the cache, seen from one KV head.
struct CachedBlock {
  CachedBlock(const AttentionArgs& args, int position)
      : type(args.type),
        keys(args.cache + args.block_table[position / kKvBlockTokens] * args.block_stride) {
    const std::size_t half =
        static_cast<std::size_t>(args.head_dim) * kKvBlockTokens * number_size(type);
    values = keys + half;
    steps = reinterpret_cast<const float*>(values + half);
  }

  KvType type;
  const std::byte* keys;
  const std::byte* values;
  const float* steps;  // of int8 keys, then values
};

// What a query knows after some positions.
struct SoftmaxState {
  float maximum = -kInfinity;
  float sums[kLanes] = {};
  float out[kMaxHeadDim] = {};
};

// Positions [begin, end) of one step: end - begin <= kAttentionStep.
void attend_step(const AttentionArgs& args, const float* query, int begin, int end,
                 SoftmaxState& state) {
  const int dim = args.head_dim;
  float scores[kAttentionStep];
  std::fill(scores, scores + kAttentionStep, -kInfinity);
  for (int p = begin; p < end; ++p) {
    const CachedBlock block(args, p);
    const int t = p % kKvBlockTokens;
    float dot = 0.0f;
    for (int d = 0; d < dim; ++d) {
      dot = std::fma(query[d], cached_number(args.type, block.keys, d * kKvBlockTokens + t), dot);
    }
    const float scale = args.type == KvType::kInt8 ? args.scale * block.steps[t] : args.scale;
    scores[p - begin] = dot * scale;
  }
  const int blocks = (end - begin + kLanes - 1) / kLanes;
  float lanes[kLanes];
  std::copy(scores, scores + kLanes, lanes);
  for (int b = 1; b < blocks; ++b) {
    for (int l = 0; l < kLanes; ++l) lanes[l] = maximum(lanes[l], scores[b * kLanes + l]);
  }
  const float step_max = maximum(state.maximum, join_lanes(lanes, maximum));
  const float rescale = exponential(state.maximum - step_max);
  state.maximum = step_max;
  for (int b = 0; b < blocks; ++b) {
    for (int l = 0; l < kLanes; ++l) {
      float& weight = scores[b * kLanes + l];
      weight = exponential(weight - step_max);
      state.sums[l] = b == 0 ? std::fma(state.sums[l], rescale, weight) : state.sums[l] + weight;
    }
  }
  for (int d = 0; d < dim; ++d) state.out[d] *= rescale;
  for (int p = begin; p < end; ++p) {
    const CachedBlock block(args, p);
    const int t = p % kKvBlockTokens;
    float weight = scores[p - begin];
    if (args.type == KvType::kInt8) weight *= block.steps[kKvBlockTokens + t];
    for (int d = 0; d < dim; ++d) {
      state.out[d] = std::fma(
          weight, cached_number(args.type, block.values, static_cast<std::size_t>(t) * dim + d),
          state.out[d]);
    }
  }
}

// The state of one query after one chunk, as AttentionArgs lays it out. Nothing is attended to
// beyond the query's own length.
void attend_chunk(const AttentionArgs& args, const float* query, int length, int chunk,
                  float* out) {
  SoftmaxState state;
  const int end = std::min(length, (chunk + 1) * kAttentionChunk);
  for (int begin = chunk * kAttentionChunk; begin < end; begin += kAttentionStep) {
    attend_step(args, query, begin, std::min(end, begin + kAttentionStep), state);
  }
  out[0] = state.maximum;
  std::copy(state.sums, state.sums + kLanes, out + kLanes);
  std::copy(state.out, state.out + args.head_dim, out + 2 * kLanes);
}

void join_states(int head_dim, float* state, const float* part) {
  const float joint = maximum(state[0], part[0]);
  const float a = exponential(state[0] - joint);
  const float b = exponential(part[0] - joint);
  state[0] = joint;
  for (int i = kLanes; i < 2 * kLanes + head_dim; ++i) {
    state[i] = std::fma(part[i], b, state[i] * a);
  }
}

}  // namespace

void attention_join_reference(const AttentionArgs& args, float* state, const float* parts) {
  const int end = std::min(args.chunk_end, args.chunk_count());
  for (int chunk = args.chunk_begin; chunk < end; ++chunk) {
    for (int q = 0; q < args.queries(); ++q, parts += args.state_size()) {
      if (args.reaches(q, chunk)) {
        join_states(args.head_dim, state + q * args.state_size(), parts);
      }
    }
  }
}

void attention_finish_reference(const AttentionArgs& args, const float* state) {
  for (int q = 0; q < args.queries(); ++q, state += args.state_size()) {
    float* out = args.out + args.query_offset(q);
    if (!args.reaches(q, 0)) {
      std::fill(out, out + args.head_dim, 0.0f);
      continue;
    }
    float lanes[kLanes];
    std::copy(state + kLanes, state + 2 * kLanes, lanes);
    const float inverse = 1.0f / sum_lanes(lanes);
    for (int d = 0; d < args.head_dim; ++d) out[d] = state[2 * kLanes + d] * inverse;
  }
}

void attention_reference(const AttentionArgs& args) {
  const std::size_t size = args.state_size();
  std::vector<float> own(args.parts == nullptr ? args.queries() * size : 0);
  float* states = args.parts == nullptr ? own.data() : args.parts;
  const bool join = args.chunk_begin == 0;
  const int end = std::min(args.chunk_end, args.chunk_count());
  for (int chunk = args.chunk_begin; chunk < end; ++chunk) {
    for (int q = 0; q < args.queries(); ++q) {
      if (!args.reaches(q, chunk)) continue;
      const float* query = args.query + args.query_offset(q);
      const int length = args.length + q / args.group;
      float* state = states + q * size;
      if (chunk == args.chunk_begin || !join) {
        attend_chunk(args, query, length, chunk, state);
      } else {
        float part[2 * kLanes + kMaxHeadDim];
        attend_chunk(args, query, length, chunk, part);
        join_states(args.head_dim, state, part);
      }
    }
    if (!join) states += args.queries() * size;
  }
  if (args.parts == nullptr) attention_finish_reference(args, states);
}

}  // namespace sterna
