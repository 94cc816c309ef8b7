// Packing weights that have scales by groups of columns: unmarked floats, and packed ones.
#include <limits>

#include "check.h"
#include "checkpoint_support.h"
#include "format/bundle.h"
#include "format/ternary_groups.h"
#include "kernels/grouped.h"

namespace sterna::test {
namespace {

const std::string kUp = "model.layers.1.mlp.up_proj.weight";
const std::string kUpScale = "model.layers.1.mlp.up_proj.weight_scale";
constexpr int kInner = 200;  // the input of down: one group of 128 columns, and a shorter one

float scale_of(int row, int group) {
  return 0.25f + static_cast<float>(row % 7 + 3 * group) / 64.0f;
}

// The matrix as floats -s, 0 and s.
std::vector<float> as_floats(const TestMatrix& matrix, int group = 128) {
  std::vector<float> values(matrix.trits.size());
  for (int row = 0; row < matrix.rows; ++row) {
    for (int col = 0; col < matrix.cols; ++col) {
      const std::size_t at = static_cast<std::size_t>(row) * matrix.cols + col;
      values[at] = static_cast<float>(matrix.trits[at]) * scale_of(row, col / group);
    }
  }
  return values;
}

std::string scale_bytes(const TestMatrix& matrix) {
  std::vector<float> scales;
  for (int row = 0; row < matrix.rows; ++row) {
    for (int g = 0; g < (matrix.cols + 127) / 128; ++g) scales.push_back(scale_of(row, g));
  }
  return bytes_of(scales);
}

// A Qwen3 checkpoint with every linear in groups; as floats, or as codes with scales.
TestCheckpoint grouped(bool packed, int group = 128) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kQwen3Multiply);
  checkpoint.config["intermediate_size"] = kInner;
  std::mt19937 random(3);
  if (packed) {
    checkpoint.config["quantization_config"]["group_size"] = 128;
  } else {
    checkpoint.config.erase("quantization_config");
  }
  for (auto& [name, matrix] : checkpoint.matrices) {
    if (matrix.rows == TestCheckpoint::kInner) matrix.rows = kInner;
    if (matrix.cols == TestCheckpoint::kInner) matrix.cols = kInner;
    matrix.trits.resize(static_cast<std::size_t>(matrix.rows) * matrix.cols);
    for (auto& trit : matrix.trits) trit = static_cast<std::int8_t>(random() % 3) - 1;
    // Every group of every row holds its scale, so that scanning finds all of them.
    for (int row = 0; row < matrix.rows; ++row) {
      for (int col = 0; col < matrix.cols; col += 64) matrix.trits[row * matrix.cols + col] = 1;
    }
    const bool mlp = name.ends_with("gate") || name.ends_with("up") || name.ends_with("down");
    const std::string weight = "model." + name.substr(0, name.rfind('.') + 1) +
                               (mlp ? "mlp." : "self_attn.") + name.substr(name.rfind('.') + 1) +
                               "_proj.weight";
    RawTensor& tensor = checkpoint.tensor(weight);
    if (packed) {
      tensor = {weight, "U8", {matrix.rows / 4, matrix.cols}, hf_packed(matrix)};
      checkpoint.tensor(weight + "_scale") = {
          weight + "_scale", "F32", {matrix.rows, (matrix.cols + 127) / 128}, scale_bytes(matrix)};
    } else {
      tensor = {weight, "F32", {matrix.rows, matrix.cols}, bytes_of(as_floats(matrix, group))};
      checkpoint.erase(weight + "_scale");
    }
  }
  return checkpoint;
}

void pack(const TestCheckpoint& checkpoint, const std::string& bundle) {
  const TempDir dir;
  checkpoint.write(dir);
  pack_checkpoint(dir.path(), bundle);
}

void check_refused(const TestCheckpoint& checkpoint, const std::string& field,
                   const std::string& needle) {
  const TempDir out;
  try {
    pack(checkpoint, out / "bundle");
    report_failure(__FILE__, __LINE__, "accepted: " + field);
  } catch (const Error& error) {
    CHECK_EQ(error.field(), field);
    const std::string what = error.what();
    if (what.find(needle) == std::string::npos) CHECK_EQ(what, needle);
  }
  CHECK_EQ(out.file_count(), 0u);
}

void check_rows(const TernaryMatrix& matrix, const TestMatrix& expected, int group) {
  const std::vector<float> values = as_floats(expected, group);
  std::vector<float> row(static_cast<std::size_t>(matrix.cols));
  int wrong = 0;
  for (int r = 0; r < matrix.rows; ++r) {
    ternary_row(matrix, r, row.data());
    for (int c = 0; c < matrix.cols; ++c) {
      wrong += row[c] != values[static_cast<std::size_t>(r) * matrix.cols + c];
    }
  }
  CHECK_EQ(wrong, 0);
}

TEST(unmarked_ternary_floats_are_found) {
  for (const int group : {128, 64}) {
    const TestCheckpoint checkpoint = grouped(false, group);
    const TempDir out;
    pack(checkpoint, out / "bundle");
    const Bundle bundle = Bundle::open(out / "bundle");
    CHECK_EQ(bundle.config().weight_group, group);
    CHECK(!bundle.config().ternary_embedding);
    for (const auto& [name, matrix] : checkpoint.matrices) {
      const TernaryMatrix found = bundle.ternary(name);
      CHECK_EQ(found.groups(), (matrix.cols + group - 1) / group);
      CHECK(found.half_scales != nullptr);  // every scale here is a half
      check_rows(found, matrix, group);
    }
  }
}

TEST(packed_groups_give_the_same_bundle) {
  const TempDir out;
  pack(grouped(false), out / "floats");
  pack(grouped(true), out / "packed");
  CHECK(read_file(out / "floats") == read_file(out / "packed"));
}

TEST(scales_that_are_no_halves_stay_float) {
  TestCheckpoint checkpoint = grouped(true);
  std::vector<float> scales(kInner, 0.1f);
  checkpoint.tensor(kUpScale).bytes = bytes_of(scales);
  const TempDir out;
  pack(checkpoint, out / "bundle");
  const Bundle bundle = Bundle::open(out / "bundle");
  const TernaryMatrix up = bundle.ternary("layers.1.up");
  CHECK(up.half_scales == nullptr);
  CHECK_EQ(up.float_scales[0], 0.1f);
  CHECK_EQ(up.float_scales[kInner], 0.0f);  // a row beyond the matrix
}

TEST(ternary_tables_are_found) {
  TestCheckpoint checkpoint = grouped(false);
  TestMatrix table{11, 24, {}, {}, 0.0f};
  for (int i = 0; i < 11 * 24; ++i) table.trits.push_back(static_cast<std::int8_t>(i % 3) - 1);
  RawTensor& embedding = checkpoint.tensor("model.embed_tokens.weight");
  embedding.dtype = "F32";
  embedding.bytes = bytes_of(as_floats(table));
  const TempDir out;
  pack(checkpoint, out / "bundle");
  const Bundle bundle = Bundle::open(out / "bundle");
  CHECK(bundle.config().ternary_embedding);
  check_rows(bundle.ternary("embed_tokens"), table, 128);
  // A head of its own may be what the embedding is not.
  checkpoint.config["tie_word_embeddings"] = false;
  checkpoint.tensors.push_back(
      {"lm_head.weight", "BF16", {11, 24}, bf16_bytes(checkpoint.embedding)});
  pack(checkpoint, out / "untied");
  const Bundle untied = Bundle::open(out / "untied");
  CHECK(untied.config().ternary_embedding);
  CHECK(!untied.config().ternary_head);
  CHECK(untied.tensor("lm_head").dtype == Dtype::kBF16);
}

TEST(what_is_not_ternary_is_named) {
  TestCheckpoint checkpoint = grouped(false);
  std::vector<float> values = as_floats(checkpoint.matrices["layers.1.up"]);
  values[24 * 5 + 7] = 0.75f;
  checkpoint.tensor(kUp).bytes = bytes_of(values);
  check_refused(checkpoint, kUp, "row 5 holds");
  check_refused(checkpoint, kUp, "\"quantization_mode\": \"online\"");
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    values[24 * 5 + 7] = bad;
    checkpoint.tensor(kUp).bytes = bytes_of(values);
    check_refused(checkpoint, kUp, "not finite");
  }
  checkpoint = grouped(false);
  checkpoint.erase(kUp);
  check_refused(checkpoint, kUp, "is missing");
  checkpoint = grouped(false);
  checkpoint.tensor(kUp).shape = {24, kInner};
  check_refused(checkpoint, kUp, "has shape [24, 200]");
}

TEST(damaged_packed_groups_are_refused) {
  TestCheckpoint checkpoint = grouped(true);
  checkpoint.tensor(kUpScale).shape = {kInner / 2, 2};
  check_refused(checkpoint, kUpScale, "config.json gives [200, 1]");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -0.5f}) {
    checkpoint = grouped(true);
    std::vector<float> scales(kInner, 0.5f);
    scales[77] = bad;
    checkpoint.tensor(kUpScale).bytes = bytes_of(scales);
    check_refused(checkpoint, kUpScale, "must be finite");
  }
  checkpoint = grouped(true);
  checkpoint.tensor(kUp).bytes[9] = '\x03';
  check_refused(checkpoint, kUp, "code 3");
  checkpoint = grouped(true);
  checkpoint.config["quantization_config"]["group_size"] = 100;
  check_refused(checkpoint, "quantization_config.group_size", "multiple of 64");
  checkpoint = grouped(true);
  checkpoint.config["quantization_config"]["linear_class"] = "bitlinear";
  check_refused(checkpoint, "quantization_config.group_size", "autobitlinear");
}

TEST(halves_are_exact_or_none) {
  for (int bits = 0; bits < 0x10000; ++bits) {
    if ((bits >> 10 & 31) == 31) continue;  // NaN and infinities
    const auto half = static_cast<std::uint16_t>(bits);
    CHECK(exact_half(f16_to_f32(half)) == half);
  }
  for (const float value :
       {0.1f, 65520.0f, 1e-9f, 0x1p-25f, 0x1.8p-24f, 1e38f, std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    CHECK(!exact_half(value).has_value());
  }
}

}  // namespace
}  // namespace sterna::test
