// Attention over paged blocks: the reference against a double-precision softmax, every table
// against the reference bit for bit, and no influence from what is masked.
#include <algorithm>
#include <limits>

#include "kernels_support.h"

namespace sterna {
namespace {

using namespace test;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct AttentionCase {
  AttentionArgs args;
  std::vector<float> query;
  std::vector<float> cache;  // blocks of keys, then values
  std::vector<std::int32_t> table;
};

// Blocks lie in the cache in a shuffled order, and whatever no position uses is NaN.
AttentionCase random_case(int group, int head_dim, int length, unsigned seed, float scale = 1.0f) {
  AttentionCase c;
  const int blocks = (length + kKvBlockTokens - 1) / kKvBlockTokens;
  const std::size_t half = static_cast<std::size_t>(head_dim) * kKvBlockTokens;
  c.query = random_floats(static_cast<std::size_t>(group) * head_dim, seed, scale);
  c.cache.assign((blocks + 1) * 2 * half, kNan);
  std::mt19937 generator(seed + 1);
  std::normal_distribution<float> normal(0.0f, scale);
  for (int b = 0; b < blocks; ++b) c.table.push_back(b);
  std::shuffle(c.table.begin(), c.table.end(), generator);
  for (int position = 0; position < length; ++position) {
    float* block = c.cache.data() + c.table[position / kKvBlockTokens] * 2 * half;
    const int t = position % kKvBlockTokens;
    for (int d = 0; d < head_dim; ++d) {
      block[d * kKvBlockTokens + t] = normal(generator);
      block[half + static_cast<std::size_t>(t) * head_dim + d] = normal(generator);
    }
  }
  c.args = {.query = c.query.data(),
            .group = group,
            .head_dim = head_dim,
            .length = length,
            .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
            .keys = c.cache.data(),
            .values = c.cache.data() + half,
            .block_stride = 2 * half,
            .block_table = c.table.data(),
            .out = nullptr};
  return c;
}

std::vector<float> attend(const Kernels& kernels, AttentionArgs args) {
  const std::size_t n = static_cast<std::size_t>(args.group) * args.head_dim;
  std::vector<float> out(n + 1, 7.0f);
  args.out = out.data();
  kernels.attention(args);
  CHECK_EQ(out.back(), 7.0f);
  out.pop_back();
  return out;
}

void check_case(const AttentionCase& c, const std::string& what) {
  const std::vector<float> expected = attend(reference_kernels(), c.args);
  for (const Kernels* kernels : tables_to_test()) {
    const std::vector<float> actual = attend(*kernels, c.args);
    check_same_bits(expected.data(), actual.data(), expected.size(),
                    std::string(kernels->name) + " attention " + what);
  }
}

std::vector<double> exact_attention(const AttentionArgs& args) {
  std::vector<double> out;
  for (int head = 0; head < args.group; ++head) {
    std::vector<double> scores;
    double largest = -1e300;
    const auto block = [&](const float* base, int position) {
      return base + args.block_table[position / kKvBlockTokens] * args.block_stride;
    };
    for (int p = 0; p < args.length; ++p) {
      double score = 0.0;
      for (int d = 0; d < args.head_dim; ++d) {
        score += double(args.query[head * args.head_dim + d]) *
                 block(args.keys, p)[d * kKvBlockTokens + p % kKvBlockTokens];
      }
      scores.push_back(score * args.scale);
      largest = std::max(largest, scores.back());
    }
    double sum = 0.0;
    for (double& score : scores) sum += score = std::exp(score - largest);
    for (int d = 0; d < args.head_dim; ++d) {
      double value = 0.0;
      for (int p = 0; p < args.length; ++p) {
        value += scores[p] / sum * block(args.values, p)[p % kKvBlockTokens * args.head_dim + d];
      }
      out.push_back(value);
    }
  }
  return out;
}

TEST(attention_against_doubles) {
  for (int length : {1, 2, 15, 16, 17, 100, 1000}) {
    const AttentionCase c = random_case(3, 64, length, 40 + length);
    const std::vector<float> actual = attend(reference_kernels(), c.args);
    const std::vector<double> exact = exact_attention(c.args);
    for (std::size_t i = 0; i < exact.size(); ++i) CHECK(std::fabs(actual[i] - exact[i]) < 2e-6);
  }
}

TEST(attention_every_head_dim) {
  unsigned seed = 1;
  for (int head_dim = 4; head_dim <= kMaxHeadDim; head_dim += head_dim < 40 ? 4 : 20) {
    for (int group : {1, 2, 3, 4}) {
      check_case(random_case(group, head_dim, 37, ++seed), "head_dim " + std::to_string(head_dim));
    }
  }
}

TEST(attention_every_group) {
  for (int group = 1; group <= kMaxGroup; ++group) {
    for (int head_dim : {64, 100, 128}) {
      check_case(random_case(group, head_dim, 50, group), "group " + std::to_string(group));
    }
  }
}

TEST(attention_every_length) {
  for (int length = 0; length <= 70; ++length) {
    const AttentionCase c = random_case(5, 32, length, length);
    check_case(c, "length " + std::to_string(length));
    // The unused part of the last block is NaN in memory.
    for (const float value : attend(reference_kernels(), c.args)) CHECK(!std::isnan(value));
  }
  check_case(random_case(4, 128, 2000, 3), "length 2000");
}

TEST(attention_length_zero_gives_zero) {
  const AttentionCase c = random_case(2, 20, 0, 1);
  for (const Kernels* kernels : available_kernels()) {
    for (const float value : attend(*kernels, c.args)) CHECK_EQ(bits_of(value), 0u);
  }
}

TEST(attention_does_not_depend_on_where_blocks_lie) {
  const AttentionCase c = random_case(2, 32, 60, 8);
  AttentionCase moved = c;
  const std::size_t stride = c.args.block_stride;
  for (std::size_t b = 0; b < c.table.size(); ++b) {
    moved.table[b] = static_cast<std::int32_t>(b);
    std::copy_n(c.cache.data() + c.table[b] * stride, stride, moved.cache.data() + b * stride);
  }
  moved.args.keys = moved.cache.data();
  moved.args.values = moved.cache.data() + stride / 2;
  moved.args.block_table = moved.table.data();
  for (const Kernels* kernels : available_kernels()) {
    const auto a = attend(*kernels, c.args);
    const auto b = attend(*kernels, moved.args);
    check_same_bits(a.data(), b.data(), a.size(), kernels->name);
  }
}

TEST(attention_extreme_scores) {
  // Scores in the thousands: all weight falls on one position, and nothing overflows.
  const AttentionCase sharp = random_case(4, 64, 90, 21, 30.0f);
  check_case(sharp, "sharp");
  for (const float value : attend(reference_kernels(), sharp.args)) CHECK(std::isfinite(value));
  check_case(random_case(4, 64, 90, 22, 1e-22f), "subnormal products");
  check_case(random_case(4, 64, 90, 23, 1e25f), "overflowing scores");
}

TEST(attention_nan_spreads_within_its_head_only) {
  AttentionCase c = random_case(2, 16, 40, 30);
  c.query[3] = kNan;
  check_case(c, "NaN query");
  const std::vector<float> out = attend(reference_kernels(), c.args);
  for (int d = 0; d < 16; ++d) {
    CHECK(std::isnan(out[d]));
    CHECK(!std::isnan(out[16 + d]));
  }
}

}  // namespace
}  // namespace sterna
