// Packing what other families than BitNet and Llama bring along.
#include <limits>

#include "check.h"
#include "checkpoint_support.h"
#include "format/bundle.h"

namespace sterna::test {
namespace {

void pack(const TestCheckpoint& checkpoint, const std::string& bundle) {
  const TempDir dir;
  checkpoint.write(dir);
  pack_checkpoint(dir.path(), bundle);
}

void check_refused(const TestCheckpoint& checkpoint, const std::string& name,
                   const std::string& needle) {
  const TempDir out;
  try {
    pack(checkpoint, out / "bundle");
    report_failure(__FILE__, __LINE__, "accepted: " + name);
  } catch (const Error& error) {
    CHECK_EQ(error.field(), name);
    const std::string what = error.what();
    if (what.find(needle) == std::string::npos) CHECK_EQ(what, needle);
  }
  CHECK_EQ(out.file_count(), 0u);
}

TestCheckpoint qwen3_with_norms(const std::string& name) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kQwen3Multiply);
  add_projection_norms(checkpoint, name);
  return checkpoint;
}

const std::string kQNorm = "model.layers.1.self_attn.q_norm.weight";
const std::string kOwnNorm = "model.layers.1.mlp.down_proj.norm.weight";

TEST(packs_the_norms_of_heads) {
  const TempDir out;
  pack(make_checkpoint(Family::kQwen3Multiply), out / "bundle");
  const Bundle bundle = Bundle::open(out / "bundle");
  CHECK(bundle.config().qk_norms);
  CHECK(!bundle.config().projection_norms);
  CHECK_EQ(bundle.f32("layers.0.q_norm", 12)[11], 0.75f);
  CHECK_EQ(bundle.f32("layers.1.k_norm", 12)[0], 1.75f);
}

TEST(packs_the_norms_of_linears) {
  const TempDir out;
  pack(qwen3_with_norms("norm"), out / "bundle");
  const Bundle bundle = Bundle::open(out / "bundle");
  CHECK(bundle.config().projection_norms);
  CHECK_EQ(bundle.config().projection_norm_eps, bundle.config().rms_norm_eps);
  CHECK_EQ(bundle.f32("layers.0.q.norm", 24)[0], 1.0f);
  CHECK_EQ(bundle.f32("layers.0.down.norm", 36)[35], 2.5f);
}

TEST(norms_of_linears_have_either_name) {
  const TempDir out;
  pack(qwen3_with_norms("norm"), out / "a");
  TestCheckpoint other = qwen3_with_norms("rms_norm");
  check_refused(other, "model.layers.0.mlp.down_proj.rms_norm.weight", "is not part of");
  other.config["quantization_config"]["use_rms_norm"] = true;
  other.config["quantization_config"]["rms_norm_eps"] = other.config["rms_norm_eps"];
  pack(other, out / "b");
  CHECK(read_file(out / "a") == read_file(out / "b"));
}

TEST(a_bare_decoder_has_names_without_a_prefix) {
  const TempDir out;
  TestCheckpoint checkpoint = make_checkpoint(Family::kQwen3Multiply);
  pack(checkpoint, out / "a");
  checkpoint.config["architectures"] = {"Qwen3Model"};
  for (RawTensor& tensor : checkpoint.tensors) tensor.name = tensor.name.substr(6);
  pack(checkpoint, out / "b");
  const Bundle a = Bundle::open(out / "a");
  const Bundle b = Bundle::open(out / "b");
  CHECK_EQ(a.ternary("layers.1.o").scale, b.ternary("layers.1.o").scale);
  CHECK_EQ(a.f32("norm", 24)[3], b.f32("norm", 24)[3]);
}

TEST(latent_weights_with_norms_need_no_declaration) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetOnline);
  checkpoint.config.erase("quantization_config");
  check_refused(checkpoint, "model.layers.0.self_attn.q_proj.weight", "no \"quantization_config\"");
  add_projection_norms(checkpoint, "norm");
  const TempDir out;
  pack(checkpoint, out / "bundle");
  CHECK(Bundle::open(out / "bundle").config().projection_norms);
}

TEST(old_names_of_sub_norms) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kBitnetOnline);
  const TempDir out;
  pack(checkpoint, out / "a");
  checkpoint.config.erase("quantization_config");
  checkpoint.config["architectures"] = {"BitnetForCausalLM"};
  checkpoint.config["model_type"] = "llama";
  check_refused(checkpoint, "model.layers.0.self_attn.inner_attn_ln.weight", "is missing");
  for (RawTensor& tensor : checkpoint.tensors) {
    for (const auto& [now, then] : {std::pair("attn_sub_norm", "inner_attn_ln"),
                                    std::pair("ffn_sub_norm", "ffn_layernorm")}) {
      const std::size_t at = tensor.name.find(now);
      if (at != std::string::npos) tensor.name.replace(at, std::string(now).size(), then);
    }
  }
  pack(checkpoint, out / "b");
  const Bundle a = Bundle::open(out / "a");
  const Bundle b = Bundle::open(out / "b");
  CHECK_EQ(a.ternary("layers.1.down").scale, b.ternary("layers.1.down").scale);
  CHECK_EQ(a.f32("layers.1.ffn_sub_norm", 36)[3], b.f32("layers.1.ffn_sub_norm", 36)[3]);
}

TEST(damaged_norms_are_refused_by_name) {
  TestCheckpoint checkpoint = make_checkpoint(Family::kQwen3Multiply);
  checkpoint.erase(kQNorm);
  check_refused(checkpoint, kQNorm, "is missing");
  checkpoint = make_checkpoint(Family::kQwen3Multiply);
  checkpoint.tensor(kQNorm) = {kQNorm, "BF16", {24}, std::string(48, 0)};
  check_refused(checkpoint, kQNorm, "has shape [24], config.json gives [12]");
  checkpoint = make_checkpoint(Family::kQwen3Multiply);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  checkpoint.tensor(kQNorm).bytes = bf16_bytes(std::vector<float>(12, nan));
  check_refused(checkpoint, kQNorm, "not finite");
  checkpoint = qwen3_with_norms("norm");
  checkpoint.erase(kOwnNorm);
  check_refused(checkpoint, kOwnNorm, "is missing");
  checkpoint = qwen3_with_norms("norm");
  checkpoint.tensor(kOwnNorm) = {kOwnNorm, "BF16", {24}, std::string(48, 0)};
  check_refused(checkpoint, kOwnNorm, "has shape");
  checkpoint = make_checkpoint(Family::kLlamaDivide);
  checkpoint.tensors.push_back({kQNorm, "BF16", {12}, std::string(24, 0)});
  check_refused(checkpoint, kQNorm, "is not part of a LlamaForCausalLM");
}

}  // namespace
}  // namespace sterna::test
