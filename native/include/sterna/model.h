// A loaded model: immutable, shared by every engine and sequence that runs it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sterna {

enum class Activation { kRelu2, kSilu };

enum class RopeType { kDefault, kLinear, kLlama3, kYarn, kLongrope };

// How rotary frequencies are stretched for contexts beyond the one of pre-training, in the terms of
// the reference library, with its defaults filled in. What a type does not use keeps its default.
struct RopeScaling {
  RopeType type = RopeType::kDefault;
  double factor = 1.0;
  double attention_factor = 1.0;  // cosines and sines are multiplied with it
  int original_context = 0;       // positions of pre-training
  double beta_fast = 32.0;        // YaRN
  double beta_slow = 1.0;
  bool truncate = true;
  double low_freq_factor = 1.0;  // Llama 3
  double high_freq_factor = 4.0;
  std::vector<double> short_factors;  // LongRoPE: [head_dim / 2] each; the long ones are for texts
  std::vector<double> long_factors;   // that may grow longer than original_context
};

// The architecture of a decoder, taken from the checkpoint's config.json; nothing is assumed.
struct ModelConfig {
  std::string architecture;  // "BitNetForCausalLM", "LlamaForCausalLM", "Qwen3ForCausalLM", ...
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int context_length = 0;
  float rms_norm_eps = 0.0f;
  double rope_theta = 0.0;
  RopeScaling rope_scaling;
  Activation activation = Activation::kRelu2;
  bool sub_norms = false;  // attn_sub_norm and ffn_sub_norm (BitNet)
  bool qk_norms = false;   // queries and keys are normalized head by head (Qwen3)
  // Each linear has an RMSNorm of its own, which comes before its input is rounded.
  bool projection_norms = false;
  float projection_norm_eps = 0.0f;
  bool tied_embeddings = false;  // the output head is the embedding table
  // Columns of a row that share a scale, in every ternary matrix; 0: a matrix has one scale. With
  // groups, which come from models that were trained with float activations, activations are
  // rounded by groups, too.
  int weight_group = 0;
  bool ternary_embedding = false;  // only with groups, as is the next
  bool ternary_head = false;       // of an output head of its own
};

class Model {
 public:
  // Maps the bundle at `path` (see src/format/bundle.h). Throws Error.
  static std::shared_ptr<const Model> open(const std::string& path);
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;
  virtual std::int64_t parameter_count() const = 0;
  virtual std::int64_t weight_bytes() const = 0;  // mapped bytes of all weights
};

// How the output head, when it is bf16, lies in the bundle.
enum class HeadLayout {
  kAuto,   // in halves when it is larger than caches are
  kPlain,  // as in the checkpoint
  kSplit,  // in two halves of eight bits, so that exact screening (EngineOptions) reads one of them
};

// What the output head is rounded to; with tied embeddings it is the embedding table, too. The
// formats below bf16 are those of src/kernels/quantized.h.
enum class HeadPrecision {
  kAsCheckpoint,  // bf16 where that loses nothing, else f32
  kBf16,
  kInt8,
  kQ8_0,
  kQ6K,
  kQ5_0,
  kQ4_0,
};

struct PackOptions {
  HeadLayout head_layout = HeadLayout::kAuto;
  HeadPrecision head_precision = HeadPrecision::kAsCheckpoint;
};

// Reads the Hugging Face checkpoint in `checkpoint_dir` and writes `bundle_path` atomically.
// Peak memory is about one tensor beyond the mapped input. Throws Error.
void pack_checkpoint(const std::string& checkpoint_dir, const std::string& bundle_path,
                     const PackOptions& options = {});

}  // namespace sterna
