// Attention over paged blocks: the reference against a double-precision softmax, every table
// against the reference bit for bit, and no influence from what is masked.
#include <algorithm>
#include <limits>

#include "kernels_support.h"
#include "ops/kv_layout.h"

namespace sterna {
namespace {

using namespace test;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

constexpr KvType kTypes[] = {KvType::kF32, KvType::kBf16, KvType::kInt8};

struct AttentionCase {
  AttentionArgs args;
  std::vector<float> query;
  Aligned<std::byte> cache;
  std::vector<std::int32_t> table;
};

struct Shape {
  int group = 1;
  int head_dim = 64;
  int length = 1;  // of the first row
  int rows = 1;
  KvType type = KvType::kF32;
};

KvLayout layout_of(const AttentionCase& c, const Shape& shape, int blocks) {
  KvLayout kv;
  kv.base = const_cast<std::byte*>(c.cache.data());
  kv.type = shape.type;
  kv.layers = 1;
  kv.blocks = blocks;
  kv.kv_heads = 1;
  kv.head_dim = shape.head_dim;
  return kv;
}

// Blocks lie in the cache in a shuffled order, and whatever no position uses is NaN (or, in int8,
// has NaN steps).
AttentionCase random_case(const Shape& shape, unsigned seed, float scale = 1.0f) {
  AttentionCase c;
  const int length = shape.length + shape.rows - 1;
  const int blocks = (length + kKvBlockTokens - 1) / kKvBlockTokens + 1;
  const std::size_t dim = shape.head_dim;
  c.query = random_floats(shape.rows * shape.group * dim, seed, scale);
  c.cache.assign(layout_of(c, shape, blocks).total_bytes(), std::byte{0xff});
  const KvLayout kv = layout_of(c, shape, blocks);
  for (int b = 0; b < blocks; ++b) c.table.push_back(b);
  std::mt19937 generator(seed + 1);
  std::shuffle(c.table.begin(), c.table.end(), generator);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> key(dim);
  std::vector<float> value(dim);
  for (int position = 0; position < length; ++position) {
    for (float& x : key) x = normal(generator);
    for (float& x : value) x = normal(generator);
    kv.store(reference_kernels(), 0, 0, c.table[position / kKvBlockTokens],
             position % kKvBlockTokens, key.data(), value.data());
  }
  c.args.query = c.query.data();
  c.args.row_stride = shape.group * dim;
  c.args.rows = shape.rows;
  c.args.group = shape.group;
  c.args.head_dim = shape.head_dim;
  c.args.length = shape.length;
  c.args.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  c.args.type = shape.type;
  c.args.cache = c.cache.data();
  c.args.block_stride = kv.block_stride();
  c.args.block_table = c.table.data();
  return c;
}

std::vector<float> attend(const Kernels& kernels, AttentionArgs args) {
  const std::size_t n = static_cast<std::size_t>(args.queries()) * args.head_dim;
  std::vector<float> out(n + 1, 7.0f);
  args.out = out.data();
  kernels.attention(args);
  CHECK_EQ(out.back(), 7.0f);
  out.pop_back();
  return out;
}

// As threads share a row: pieces of chunks, cut before each of `cuts`, joined afterwards.
std::vector<float> attend_in_pieces(const Kernels& kernels, AttentionArgs args,
                                    const std::vector<int>& cuts) {
  const std::size_t size = args.queries() * args.state_size();
  std::vector<float> states(size, kNan);
  args.parts = states.data();
  args.chunk_end = cuts.front();
  kernels.attention(args);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    args.chunk_begin = cuts[i];
    args.chunk_end = i + 1 < cuts.size() ? cuts[i + 1] : args.chunk_count();
    std::vector<float> parts((args.chunk_end - args.chunk_begin) * size, kNan);
    args.parts = parts.data();
    kernels.attention(args);
    kernels.attention_join(args, states.data(), parts.data());
  }
  std::vector<float> out(static_cast<std::size_t>(args.queries()) * args.head_dim);
  args.out = out.data();
  kernels.attention_finish(args, states.data());
  return out;
}

void check_case(const AttentionCase& c, const std::string& what) {
  const std::vector<float> expected = attend(reference_kernels(), c.args);
  for (const Kernels* kernels : tables_to_test()) {
    const std::vector<float> actual = attend(*kernels, c.args);
    check_same_bits(expected.data(), actual.data(), expected.size(),
                    std::string(kernels->name) + " attention " + name_of(c.args.type) + " " + what);
  }
}

// Number d of a position, as the cache holds it.
double cached(const AttentionArgs& args, int position, int d, bool value) {
  const std::byte* block =
      args.cache + args.block_table[position / kKvBlockTokens] * args.block_stride;
  const std::size_t dim = args.head_dim;
  const std::size_t half = dim * kKvBlockTokens;
  const std::size_t t = position % kKvBlockTokens;
  const std::size_t i = value ? half + t * dim + d : d * kKvBlockTokens + t;
  if (args.type == KvType::kF32) return reinterpret_cast<const float*>(block)[i];
  if (args.type == KvType::kBf16) {
    return float_of(std::uint32_t{reinterpret_cast<const std::uint16_t*>(block)[i]} << 16);
  }
  const auto* steps = reinterpret_cast<const float*>(block + 2 * half);
  return double(reinterpret_cast<const std::int8_t*>(block)[i]) * steps[value ? 16 + t : t];
}

std::vector<double> exact_attention(const AttentionArgs& args) {
  std::vector<double> out;
  for (int q = 0; q < args.queries(); ++q) {
    std::vector<double> scores;
    double largest = -1e300;
    for (int p = 0; p < args.length + q / args.group; ++p) {
      double score = 0.0;
      for (int d = 0; d < args.head_dim; ++d) {
        score += double(args.query[q * args.head_dim + d]) * cached(args, p, d, false);
      }
      scores.push_back(score * args.scale);
      largest = std::max(largest, scores.back());
    }
    double sum = 0.0;
    for (double& score : scores) sum += score = std::exp(score - largest);
    for (int d = 0; d < args.head_dim; ++d) {
      double value = 0.0;
      for (std::size_t p = 0; p < scores.size(); ++p) {
        value += scores[p] / sum * cached(args, static_cast<int>(p), d, true);
      }
      out.push_back(value);
    }
  }
  return out;
}

TEST(attention_against_doubles) {
  for (KvType type : kTypes) {
    for (int length : {1, 2, 15, 16, 17, 100, 255, 256, 257, 1000}) {
      const AttentionCase c = random_case({3, 64, length, 3, type}, 40 + length);
      const std::vector<float> actual = attend(reference_kernels(), c.args);
      const std::vector<double> exact = exact_attention(c.args);
      for (std::size_t i = 0; i < exact.size(); ++i) CHECK(std::fabs(actual[i] - exact[i]) < 4e-6);
    }
  }
}

TEST(attention_every_head_dim) {
  unsigned seed = 1;
  for (KvType type : kTypes) {
    for (int head_dim = 4; head_dim <= kMaxHeadDim; head_dim += head_dim < 40 ? 4 : 20) {
      for (const auto& [group, rows] : {std::pair(1, 1), {2, 1}, {3, 7}, {4, 1}, {4, 9}}) {
        check_case(random_case({group, head_dim, 37, rows, type}, ++seed),
                   "head_dim " + std::to_string(head_dim));
      }
    }
  }
}

TEST(attention_every_group) {
  for (KvType type : kTypes) {
    for (int group = 1; group <= kMaxGroup; group += group < 16 ? 1 : 16) {
      for (int head_dim : {64, 100, 128}) {
        const int rows = std::min(1 + group % 3, kMaxAttentionQueries / group);
        check_case(random_case({group, head_dim, 50, rows, type}, group),
                   "group " + std::to_string(group));
      }
    }
  }
}

TEST(attention_every_length) {
  for (KvType type : kTypes) {
    for (int length = 0; length <= 270; length += length < 140 || length > 250 ? 1 : 10) {
      const AttentionCase c = random_case({5, 32, length, 1, type}, length);
      check_case(c, "length " + std::to_string(length));
      // The unused part of the last block is NaN in memory.
      for (const float value : attend(reference_kernels(), c.args)) CHECK(!std::isnan(value));
    }
    check_case(random_case({4, 128, 2000, 1, type}, 3), "length 2000");
  }
}

TEST(attention_every_number_of_rows) {
  for (KvType type : kTypes) {
    for (int rows = 1; rows <= 16; ++rows) {
      for (int length : {0, 1, 60, 250, 500}) {
        check_case(random_case({4, 32, length, rows, type}, rows),
                   std::to_string(rows) + " rows from length " + std::to_string(length));
      }
    }
    check_case(random_case({1, 20, 300, kMaxAttentionQueries, type}, 5), "rows of one head");
  }
}

TEST(attention_rows_together_equal_rows_alone) {
  for (KvType type : kTypes) {
    for (int length : {1, 50, 245, 700}) {
      const AttentionCase c = random_case({4, 64, length, 16, type}, length);
      for (const Kernels* kernels : available_kernels()) {
        const std::vector<float> together = attend(*kernels, c.args);
        for (int row = 0; row < 16; ++row) {
          AttentionArgs alone = c.args;
          alone.rows = 1;
          alone.length = length + row;
          alone.query += row * alone.row_stride;
          const std::vector<float> out = attend(*kernels, alone);
          check_same_bits(out.data(), together.data() + row * alone.row_stride, out.size(),
                          std::string(kernels->name) + " row " + std::to_string(row));
        }
      }
    }
  }
}

TEST(attention_in_pieces_equals_the_whole) {
  for (KvType type : kTypes) {
    // The second case: some rows end before the last chunk begins.
    for (const Shape& shape : {Shape{4, 64, 1300, 1, type}, Shape{2, 20, 1020, 8, type}}) {
      const AttentionCase c = random_case(shape, 9);
      const std::vector<float> expected = attend(reference_kernels(), c.args);
      for (const Kernels* kernels : available_kernels()) {
        for (const std::vector<int>& cuts : {std::vector<int>{1}, {2}, {4}, {1, 2, 3, 4}, {2, 3}}) {
          const std::vector<float> actual = attend_in_pieces(*kernels, c.args, cuts);
          check_same_bits(expected.data(), actual.data(), expected.size(),
                          std::string(kernels->name) + " in pieces");
        }
      }
    }
  }
}

TEST(attention_length_zero_gives_zero) {
  const AttentionCase c = random_case({2, 20, 0, 1}, 1);
  for (const Kernels* kernels : available_kernels()) {
    for (const float value : attend(*kernels, c.args)) CHECK_EQ(bits_of(value), 0u);
  }
}

TEST(attention_does_not_depend_on_where_blocks_lie) {
  const AttentionCase c = random_case({2, 32, 60, 1}, 8);
  AttentionCase moved = c;
  const std::size_t stride = c.args.block_stride;
  for (std::size_t b = 0; b < c.table.size(); ++b) {
    moved.table[b] = static_cast<std::int32_t>(b);
    std::copy_n(c.cache.data() + c.table[b] * stride, stride, moved.cache.data() + b * stride);
  }
  moved.args.cache = moved.cache.data();
  moved.args.block_table = moved.table.data();
  for (const Kernels* kernels : available_kernels()) {
    const auto a = attend(*kernels, c.args);
    const auto b = attend(*kernels, moved.args);
    check_same_bits(a.data(), b.data(), a.size(), kernels->name);
  }
}

TEST(attention_extreme_scores) {
  for (KvType type : kTypes) {
    // Scores in the thousands: all weight falls on one position, and nothing overflows.
    const AttentionCase sharp = random_case({4, 64, 390, 1, type}, 21, 30.0f);
    check_case(sharp, "sharp");
    for (const float value : attend(reference_kernels(), sharp.args)) CHECK(std::isfinite(value));
    check_case(random_case({4, 64, 390, 1, type}, 22, 1e-22f), "subnormal products");
    check_case(random_case({4, 64, 390, 1, type}, 23, 1e25f), "overflowing scores");
  }
}

TEST(attention_nan_spreads_within_its_head_only) {
  AttentionCase c = random_case({2, 16, 40, 1}, 30);
  c.query[3] = kNan;
  check_case(c, "NaN query");
  const std::vector<float> out = attend(reference_kernels(), c.args);
  for (int d = 0; d < 16; ++d) {
    CHECK(std::isnan(out[d]));
    CHECK(!std::isnan(out[16 + d]));
  }
}

TEST(cache_rounds_to_the_nearest_bfloat16) {
  AttentionCase c = random_case({1, 4, 1, 1, KvType::kBf16}, 1);
  const KvLayout kv = layout_of(c, {1, 4, 1, 1, KvType::kBf16}, 1);
  const float infinity = std::numeric_limits<float>::infinity();
  const float from[2][4] = {{1.00390625f, 1.01171875f, -1.00390637f, 3.4028235e38f},
                            {kNan, -infinity, 1e-40f, -0.0f}};
  const std::uint16_t to[2][4] = {{0x3f80, 0x3f82, 0xbf81, 0x7f80}, {0x7fc0, 0xff80, 1, 0x8000}};
  kv.store(reference_kernels(), 0, 0, 0, 5, from[0], from[1]);
  const auto* numbers = reinterpret_cast<const std::uint16_t*>(c.cache.data());
  for (int d = 0; d < 4; ++d) {
    CHECK_EQ(numbers[d * 16 + 5], to[0][d]);
    CHECK_EQ(numbers[64 + 5 * 4 + d], to[1][d]);
  }
}

}  // namespace
}  // namespace sterna
