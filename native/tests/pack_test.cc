// Packing whole checkpoints, checked against values worked out here.
#include <algorithm>
#include <cmath>
#include <limits>

#include "check.h"
#include "checkpoint_support.h"
#include "format/bundle.h"
#include "format/ternarize.h"

namespace sterna::test {
namespace {

// The code of one element, from the description of the tile layout in kernels.h.
int trit_at(const TernaryMatrix& matrix, int row, int col) {
  const std::uint8_t* block = matrix.tiles + 64 * (row / 16 * ((matrix.cols + 15) / 16) + col / 16);
  const int s = col % 16 / 4;
  return (block[4 * (row % 16) + col % 4] >> (2 * s) & 3) - 1;
}

void check_trits(const TernaryMatrix& matrix, const TestMatrix& expected,
                 const std::vector<std::int8_t>& trits) {
  CHECK_EQ(matrix.rows, expected.rows);
  CHECK_EQ(matrix.cols, expected.cols);
  int wrong = 0;
  for (int row = 0; row < matrix.row_tiles() * 16; ++row) {
    for (int col = 0; col < matrix.col_blocks() * 16; ++col) {
      const bool inside = row < matrix.rows && col < matrix.cols;
      const int want = inside ? trits[static_cast<std::size_t>(row * expected.cols + col)] : 0;
      wrong += trit_at(matrix, row, col) != want;
    }
  }
  CHECK_EQ(wrong, 0);
}

void check_packed(Family family) {
  const TestCheckpoint checkpoint = make_checkpoint(family);
  const TempDir dir;
  const TempDir out;
  checkpoint.write(dir);
  pack_checkpoint(dir.path(), out / "bundle");
  CHECK_EQ(out.file_count(), 1u);
  const Bundle bundle = Bundle::open(out / "bundle");
  CHECK_EQ(checkpoint.matrices.size(), 14u);
  for (const auto& [name, expected] : checkpoint.matrices) {
    const TernaryMatrix matrix = bundle.ternary(name);
    CHECK_EQ(reinterpret_cast<std::uintptr_t>(matrix.tiles) % 64, 0u);
    if (family == Family::kBitnetOnline) {
      long double sum = 0;
      for (const float value : expected.latent) sum += std::fabs(static_cast<long double>(value));
      const float k = 1.0f / static_cast<float>(sum / expected.latent.size());
      CHECK_EQ(matrix.scale, 1.0f / k);
      std::vector<std::int8_t> trits;
      for (const float value : expected.latent) {
        // No value here lies on a boundary, so that plain comparisons say what rounding does.
        const float scaled = value * k;
        trits.push_back(static_cast<std::int8_t>(scaled > 0.5f ? 1 : scaled < -0.5f ? -1 : 0));
      }
      check_trits(matrix, expected, trits);
    } else {
      CHECK_EQ(matrix.scale, family == Family::kLlamaDivide ? 1.0f / expected.weight_scale
                                                            : expected.weight_scale);
      check_trits(matrix, expected, expected.trits);
    }
  }
  for (const char* name : {"embed_tokens", "lm_head"}) {
    if (std::string(name) == "lm_head" && family != Family::kLlamaDivide) continue;
    const TensorView& dense = bundle.tensor(name);
    CHECK(dense.dtype == Dtype::kBF16);
    CHECK_EQ(shape_text(dense.shape), "[11, 24]");
    std::vector<float> values(dense.elements());
    widen(dense.dtype, dense.bytes.data(), values.size(), values.data());
    CHECK(values == checkpoint.embedding);
  }
  CHECK_EQ(bundle.f32("norm", 24)[23], 1.25f);
  CHECK_EQ(bundle.f32("layers.0.input_norm", 24)[0], 0.5f);
  CHECK_EQ(bundle.f32("layers.1.post_attention_norm", 24)[0], 1.5f);
  if (family != Family::kLlamaDivide) CHECK_EQ(bundle.f32("layers.1.ffn_sub_norm", 36)[35], 1.5f);
}

TEST(packs_weights_that_are_multiplied) { check_packed(Family::kBitnetMultiply); }
TEST(packs_weights_that_are_divided) { check_packed(Family::kLlamaDivide); }
TEST(packs_latent_weights) { check_packed(Family::kBitnetOnline); }

TEST(packing_twice_gives_the_same_bytes) {
  const TempDir dir;
  const TempDir out;
  make_checkpoint(Family::kBitnetMultiply).write(dir);
  pack_checkpoint(dir.path(), out / "a");
  pack_checkpoint(dir.path(), out / "b");
  pack_checkpoint(dir.path(), out / "b");  // over an older one
  CHECK(read_file(out / "a") == read_file(out / "b"));
}

TEST(a_large_matrix_is_packed_in_several_pieces) {
  // More than 2^20 elements in one linear, so that pieces meet inside it.
  TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetMultiply);
  const int inner = 44000;
  checkpoint.config["intermediate_size"] = inner;
  std::mt19937 random(5);
  for (const char* layer : {"0", "1"}) {
    const std::string prefix = std::string("model.layers.") + layer + ".mlp.";
    RawTensor& norm = checkpoint.tensor(prefix + "ffn_sub_norm.weight");
    norm = {norm.name, "BF16", {inner}, bf16_bytes(std::vector<float>(inner, 1.0f))};
    for (const char* name : {"gate", "up", "down"}) {
      TestMatrix& matrix = checkpoint.matrices[std::string("layers.") + layer + "." + name];
      (matrix.rows == 36 ? matrix.rows : matrix.cols) = inner;
      matrix.trits.resize(static_cast<std::size_t>(matrix.rows) * matrix.cols);
      for (auto& trit : matrix.trits) trit = static_cast<std::int8_t>(random() % 3) - 1;
      RawTensor& tensor = checkpoint.tensor(prefix + name + "_proj.weight");
      tensor.shape = {matrix.rows / 4, matrix.cols};
      tensor.bytes = hf_packed(matrix);
    }
  }
  const TempDir dir;
  checkpoint.write(dir);
  pack_checkpoint(dir.path(), dir / "bundle");
  const Bundle bundle = Bundle::open(dir / "bundle");
  for (const char* name : {"layers.0.gate", "layers.1.down"}) {
    check_trits(bundle.ternary(name), checkpoint.matrices[name], checkpoint.matrices[name].trits);
  }
}

TEST(halves_round_to_even) {
  // mean |w| is exactly 1, so that w * k is w itself: 0.5 and -0.5 lie on the boundary.
  const std::vector<float> weights = {0.5f,        -0.5f, 1.5f, -1.5f,
                                      0.50000006f, 2.5f,  0.0f, -0.99999994f};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(weights.data());
  std::vector<std::int8_t> trits(8);
  ternarize_rows(Dtype::kF32, bytes, 4, 0, 2, 1.0f, trits.data());
  CHECK(trits == std::vector<std::int8_t>({0, 0, 1, -1, 1, 1, 0, -1}));

  const std::vector<float> even = {0.5f, -0.5f, 1.5f, -1.5f};
  const AbsMean mean =
      absmean(Dtype::kF32, reinterpret_cast<const std::uint8_t*>(even.data()), 2, 2);
  CHECK(mean.finite);
  CHECK_EQ(mean.k, 1.0f);
  CHECK_EQ(mean.scale, 1.0f);
}

TEST(tiny_latents_have_a_smallest_mean) {
  const std::vector<float> zeros(4, 0.0f);
  const AbsMean mean =
      absmean(Dtype::kF32, reinterpret_cast<const std::uint8_t*>(zeros.data()), 2, 2);
  CHECK_EQ(mean.k, 1.0f / 1e-5f);
  CHECK_EQ(mean.scale, 1.0f / (1.0f / 1e-5f));
  // One weight large enough that w * k is infinite in float clamps like any other.
  const std::vector<float> huge = {3e38f, -3e38f, 0.0f, 1.0f};
  std::vector<std::int8_t> trits(4);
  ternarize_rows(Dtype::kF32, reinterpret_cast<const std::uint8_t*>(huge.data()), 4, 0, 1, 1e5f,
                 trits.data());
  CHECK(trits == std::vector<std::int8_t>({1, -1, 0, 1}));
}

TEST(the_mean_is_exact_for_many_weights) {
  // A float sum of these would be off in the third digit.
  const std::vector<float> weights(std::size_t{1} << 22, 0.1f);
  const AbsMean mean =
      absmean(Dtype::kF32, reinterpret_cast<const std::uint8_t*>(weights.data()), 1 << 11, 1 << 11);
  CHECK_EQ(mean.k, 1.0f / 0.1f);
}

TEST(latents_may_be_bf16_or_f16) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetOnline);
  RawTensor& q = checkpoint.tensor("model.layers.0.self_attn.q_proj.weight");
  std::vector<float> values;
  for (const float value : checkpoint.matrices["layers.0.q"].latent) {
    values.push_back(std::round(value * 64.0f) / 64.0f);  // exact in either
  }
  const auto pack = [&](const std::string& dtype, const std::string& bytes) {
    q.dtype = dtype;
    q.bytes = bytes;
    const TempDir dir;
    checkpoint.write(dir);
    pack_checkpoint(dir.path(), dir / "bundle");
    const TernaryMatrix matrix = Bundle::open(dir / "bundle").ternary("layers.0.q");
    return matrix.scale;
  };
  std::vector<std::uint16_t> f16;
  for (const float value : values) {
    // n / 64 with |n| < 64, as a half: every such value is normal or zero.
    const int n = static_cast<int>(std::fabs(value) * 64.0f);
    const int exponent = n == 0 ? 0 : static_cast<int>(std::log2(n));
    const int bits = n == 0 ? 0 : ((exponent - 6 + 15) << 10) | ((n << (10 - exponent)) & 1023);
    f16.push_back(static_cast<std::uint16_t>(bits | (value < 0 ? 0x8000 : 0)));
  }
  const float scale = pack("F32", bytes_of(values));
  CHECK_EQ(pack("BF16", bf16_bytes(values)), scale);
  CHECK_EQ(pack("F16", bytes_of(f16)), scale);
}

TEST(embeddings_that_bf16_cannot_hold_stay_f32) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetMultiply);
  RawTensor& embedding = checkpoint.tensor("model.embed_tokens.weight");
  std::vector<float> values = checkpoint.embedding;
  embedding.dtype = "F32";
  const auto pack = [&] {
    embedding.bytes = bytes_of(values);
    const TempDir dir;
    checkpoint.write(dir);
    pack_checkpoint(dir.path(), dir / "bundle");
    const Bundle bundle = Bundle::open(dir / "bundle");
    const TensorView& found = bundle.tensor("embed_tokens");
    std::vector<float> got(found.elements());
    widen(found.dtype, found.bytes.data(), got.size(), got.data());
    CHECK(got == values);
    return found.dtype;
  };
  CHECK(pack() == Dtype::kBF16);
  values[5] = 0.1f;
  CHECK(pack() == Dtype::kF32);
}

TEST(dividing_and_multiplying_by_the_reciprocal_agree) {
  // The bound that bundle.h states, on random scales and sums.
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(0.01f, 100.0f);
  double worst = 0.0;
  for (int i = 0; i < 100000; ++i) {
    const float weight_scale = uniform(random);
    const float s = 127.0f / uniform(random);
    const auto sum = static_cast<float>(static_cast<int>(random() % 2000001) - 1000000);
    const float reference = sum / (weight_scale * s);
    const float ours = sum * ((1.0f / s) * (1.0f / weight_scale));
    if (sum != 0.0f) worst = std::max(worst, std::fabs(double{ours} / reference - 1.0));
  }
  CHECK(worst <= 6.001 * 0x1p-24);
  CHECK(worst > 0.0);
}

}  // namespace
}  // namespace sterna::test
