// Checkpoints that lie are refused before anything is left behind, naming the tensor.
#include <limits>

#include "check.h"
#include "checkpoint_support.h"
#include "format/bundle.h"

namespace sterna::test {
namespace {

const std::string kQ = "model.layers.1.self_attn.q_proj.weight";
const std::string kScale = "model.layers.1.self_attn.q_proj.weight_scale";
const std::string kNorm = "model.layers.0.input_layernorm.weight";
const std::string kEmbedding = "model.embed_tokens.weight";

void check_refused(const TestCheckpoint& checkpoint, const std::string& name,
                   const std::string& needle) {
  const TempDir dir;
  const TempDir out;
  checkpoint.write(dir);
  try {
    pack_checkpoint(dir.path(), out / "bundle");
    report_failure(__FILE__, __LINE__, "accepted: " + name + ": " + needle);
  } catch (const Error& error) {
    const std::string what = error.what();
    CHECK(error.code() == ErrorCode::kCheckpointInvalid);
    CHECK_EQ(error.field(), name);
    if (what.find("\"" + name + "\"") == std::string::npos) CHECK_EQ(what, name);
    if (what.find(needle) == std::string::npos) CHECK_EQ(what, needle);
  }
  CHECK_EQ(out.file_count(), 0u);
}

TEST(every_tensor_is_required) {
  for (const Family family :
       {Family::kBitnetMultiply, Family::kBitnetOnline, Family::kLlamaDivide}) {
    const TestCheckpoint whole = make_checkpoint(family);
    for (const RawTensor& tensor : whole.tensors) {
      TestCheckpoint checkpoint = whole;
      checkpoint.erase(tensor.name);
      check_refused(checkpoint, tensor.name, "is missing");
    }
  }
}

TEST(every_shape_and_dtype_is_checked) {
  for (const Family family :
       {Family::kBitnetMultiply, Family::kBitnetOnline, Family::kLlamaDivide}) {
    const TestCheckpoint whole = make_checkpoint(family);
    for (const RawTensor& tensor : whole.tensors) {
      TestCheckpoint checkpoint = whole;
      RawTensor& flat = checkpoint.tensor(tensor.name);
      flat.shape.push_back(1);
      check_refused(checkpoint, tensor.name, "has shape");
      checkpoint = whole;
      RawTensor& other = checkpoint.tensor(tensor.name);
      other.dtype = tensor.dtype == "BF16" ? "I16" : tensor.dtype == "F32" ? "I32" : "I8";
      check_refused(checkpoint, tensor.name, "has dtype I");
    }
  }
}

TEST(a_vocabulary_that_differs_from_the_config_is_refused) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetMultiply);
  checkpoint.config["vocab_size"] = 12;
  check_refused(checkpoint, kEmbedding, "has shape [11, 24], config.json gives [12, 24]");
}

TEST(unpacked_weights_in_a_packed_checkpoint_are_refused) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetMultiply);
  RawTensor& q = checkpoint.tensor(kQ);
  q = {kQ, "BF16", {24, 24}, std::string(24 * 24 * 2, '\0')};
  check_refused(checkpoint, kQ, "has dtype BF16, must be one of: U8");
}

TEST(rows_that_cannot_be_packed_are_refused) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kLlamaDivide);
  checkpoint.config["intermediate_size"] = 38;
  check_refused(checkpoint, "model.layers.0.mlp.gate_proj.weight", "not a multiple of 4");
}

TEST(unknown_tensors_are_refused) {
  for (const char* name :
       {"model.layers.0.self_attn.q_proj.bias", "model.layers.2.input_layernorm.weight",
        "model.layers.0.self_attn.q_norm.weight", "something"}) {
    TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetMultiply);
    checkpoint.tensors.push_back({name, "BF16", {1}, "xx"});
    check_refused(checkpoint, name, "is not part of a BitNetForCausalLM");
  }
  TestCheckpoint online = make_checkpoint(Family::kBitnetOnline);
  online.tensors.push_back({kScale, "BF16", {1}, bf16_bytes({1.0f})});
  check_refused(online, kScale, "is not part of");
  TestCheckpoint llama = make_checkpoint(Family::kLlamaDivide);
  const std::string norm = "model.layers.0.self_attn.attn_sub_norm.weight";
  llama.tensors.push_back({norm, "BF16", {24}, std::string(48, '\0')});
  check_refused(llama, norm, "is not part of a LlamaForCausalLM");
}

TEST(rotary_constants_are_harmless) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kLlamaDivide);
  checkpoint.tensors.push_back(
      {"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {6}, std::string(24, '\0')});
  const TempDir dir;
  checkpoint.write(dir);
  pack_checkpoint(dir.path(), dir / "bundle");
  CHECK_EQ(Bundle::open(dir / "bundle").config().layers, 2);
}

TEST(a_tied_head_must_repeat_the_embedding) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetMultiply);
  RawTensor head = checkpoint.tensor(kEmbedding);
  head.name = "lm_head.weight";
  checkpoint.tensors.push_back(head);
  const TempDir dir;
  checkpoint.write(dir);
  pack_checkpoint(dir.path(), dir / "bundle");
  CHECK(Bundle::open(dir / "bundle").config().tied_embeddings);
  checkpoint.tensors.back().bytes[100] ^= 1;
  check_refused(checkpoint, "lm_head.weight", "differs from model.embed_tokens.weight");
}

TEST(code_three_is_refused) {
  for (const int shift : {0, 2, 4, 6}) {
    TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetMultiply);
    checkpoint.tensor(kQ).bytes[77] |= static_cast<char>(3 << shift);
    check_refused(checkpoint, kQ, "the code 3");
  }
}

TEST(scales_must_be_finite_and_positive) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const Family family : {Family::kBitnetMultiply, Family::kLlamaDivide}) {
    for (const float scale : {0.0f, -0.0f, -1.0f, kInfinity, -kInfinity, std::nanf("")}) {
      TestCheckpoint checkpoint = make_checkpoint(family);
      checkpoint.tensor(kScale).bytes = bf16_bytes({scale});
      check_refused(checkpoint, kScale, "must be finite and positive");
    }
  }
  // Too small for its reciprocal to be a float.
  TestCheckpoint checkpoint = make_checkpoint(Family::kLlamaDivide);
  checkpoint.tensor(kScale) = {kScale, "F32", {1}, bytes_of<float>({1e-40f})};
  check_refused(checkpoint, kScale, "must be finite and positive");
}

TEST(a_scale_may_be_a_scalar_but_not_a_vector) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetMultiply);
  checkpoint.tensor(kScale).shape = {};
  const TempDir dir;
  checkpoint.write(dir);
  pack_checkpoint(dir.path(), dir / "bundle");
  CHECK_EQ(Bundle::open(dir / "bundle").ternary("layers.1.q").scale,
           checkpoint.matrices["layers.1.q"].weight_scale);
  checkpoint.tensor(kScale) = {kScale, "BF16", {24}, bf16_bytes(std::vector<float>(24, 1.0f))};
  check_refused(checkpoint, kScale, "has shape [24]");
}

TEST(norms_embeddings_and_latents_must_be_finite) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    for (const std::string& name : {kNorm, kEmbedding}) {
      TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetMultiply);
      checkpoint.tensor(name).bytes.replace(10, 2, bf16_bytes({bad}));
      check_refused(checkpoint, name, "not finite");
    }
    TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetOnline);
    checkpoint.tensor(kQ).bytes.replace(40, 4, bytes_of<float>({bad}));
    check_refused(checkpoint, kQ, "not finite");
  }
}

TEST(an_output_that_cannot_be_written_is_named) {
  const TempDir dir;
  make_checkpoint(Family::kBitnetMultiply).write(dir);
  CHECK_ERROR(pack_checkpoint(dir.path(), dir / "no/bundle"), ErrorCode::kIo, "no/bundle");
  CHECK_ERROR(pack_checkpoint(dir / "no", dir / "bundle"), ErrorCode::kIo, dir / "no");
  CHECK_EQ(dir.file_count(), 2u);
}

}  // namespace
}  // namespace sterna::test
