// Architectures beside the first two: what their names imply, and what is refused by name.
#include "model/families.h"

#include "check.h"
#include "config_support.h"

namespace sterna::test {
namespace {

TEST(qwen3_normalizes_heads_of_a_size_of_their_own) {
  const ModelConfig model = parse(qwen3_config()).model;
  CHECK(model.qk_norms);
  CHECK(!model.sub_norms);
  CHECK_EQ(model.heads * model.head_dim, 4096);
  CHECK_EQ(model.hidden_size, 2560);
  CHECK(parse(qwen3_config()).storage == WeightStorage::kLatent);
}

TEST(a_window_that_is_off_has_any_size) {
  CHECK_EQ(parse(with(qwen3_config(), "sliding_window", 4096)).model.layers, 36);
  json config = with(qwen3_config(), "sliding_window", 4096);
  unsupported(config, "use_sliding_window", true, "supported: false");
  unsupported(qwen3_config(), "attention_bias", true);
}

TEST(a_decoder_without_a_head_uses_its_embedding) {
  json config = with(qwen3_config(), "architectures", {"Qwen3Model"});
  config["tie_word_embeddings"] = false;
  CHECK(parse(config).model.tied_embeddings);
}

TEST(old_bitnet_checkpoints_need_no_quantization_config) {
  json config = bitnet_config();
  config["architectures"] = {"BitnetForCausalLM"};
  config["model_type"] = "llama";
  config["hidden_act"] = "silu";
  config["weight_bits"] = 1;
  config["input_bits"] = 8;
  config.erase("quantization_config");
  const CheckpointConfig parsed = parse(config);
  CHECK(parsed.model.sub_norms);
  CHECK(parsed.storage == WeightStorage::kUndeclared);
  CHECK(find_family("BitnetForCausalLM")->latent);
  unsupported(config, "weight_bits", 2, "ternary");
  unsupported(config, "input_bits", 16, "int8");
}

TEST(what_is_not_run_is_refused_with_the_nearest_that_is) {
  const auto refused = [](const char* name, const char* needle) {
    unsupported(qwen3_config(), "architectures", json::array({name}), needle);
  };
  refused("MiniCPMForCausalLM", "BitCPM-CANN-1B");
  refused("Qwen3_5ForConditionalGeneration", "Ternary-Bonsai-8B");
  refused("MapleForCausalLM", "mixtures of experts");
  refused("HGRNBitForCausalLM", "recurrent");
  refused("Gemma3TextModel", "bitnet-embedding-0.6b");
  unsupported(qwen3_config(), "quantization", {{"group_size", 128}, {"bits", 2}}, "MLX");
  refused("GPT2LMHeadModel", "supported: BitNetForCausalLM, BitnetForCausalLM, LlamaForCausalLM");
}

}  // namespace
}  // namespace sterna::test
