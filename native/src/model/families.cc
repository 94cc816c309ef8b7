#include "model/families.h"

namespace sterna {

namespace {

const std::vector<Family> kFamilies = {
    {.architecture = "BitNetForCausalLM", .model_types = {"bitnet"}, .sub_norms = true},
    // 1bitLLM's own code, which calls its type that of Llama.
    {.architecture = "BitnetForCausalLM",
     .model_types = {"llama", "bitnet"},
     .sub_norms = true,
     .latent = true},
    {.architecture = "LlamaForCausalLM", .model_types = {"llama"}},
    {.architecture = "Qwen3ForCausalLM", .model_types = {"qwen3"}, .qk_norms = true},
    {.architecture = "Qwen3Model", .model_types = {"qwen3"}, .qk_norms = true, .headless = true},
};

struct Stranger {
  std::string_view prefix;
  std::string_view why;
};

// Ternary models of other architectures: a user who has one should learn what to take instead.
constexpr Stranger kStrangers[] = {
    {"MiniCPM",
     "its factors on embeddings, layers and logits are not implemented; BitCPM-CANN-1B, a "
     "LlamaForCausalLM, is the nearest that is run"},
    {"Qwen3_",
     "its gated delta-net layers are not implemented; Ternary-Bonsai-8B, a "
     "Qwen3ForCausalLM, is the nearest that is run"},
    {"Qwen3Next",
     "its gated delta-net layers are not implemented; Ternary-Bonsai-8B, a "
     "Qwen3ForCausalLM, is the nearest that is run"},
    {"Qwen3Moe",
     "mixtures of experts are not implemented; Ternary-Bonsai-8B, a Qwen3ForCausalLM, "
     "is the nearest that is run"},
    {"Maple",
     "mixtures of experts are not implemented; Ternary-Bonsai-8B, a Qwen3ForCausalLM, is "
     "the nearest that is run"},
    {"HGRNBit",
     "its recurrent layers are not implemented; bitnet-b1.58-2B-4T, a "
     "BitNetForCausalLM, is the nearest that is run"},
    {"Gemma3",
     "its norms and windows are not implemented; bitnet-embedding-0.6b, a Qwen3Model, "
     "is the nearest that is run"},
};

}  // namespace

const Family* find_family(std::string_view architecture) {
  for (const Family& family : kFamilies) {
    if (family.architecture == architecture) return &family;
  }
  return nullptr;
}

std::string supported_families(std::string_view refused) {
  std::string text;
  for (const Stranger& stranger : kStrangers) {
    if (refused.starts_with(stranger.prefix)) text = std::string(stranger.why) + "; ";
  }
  text += "supported: ";
  for (const Family& family : kFamilies) {
    if (&family != &kFamilies.front()) text += ", ";
    text += family.architecture;
  }
  return text;
}

}  // namespace sterna
