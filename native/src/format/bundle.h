// A packed model: one mapped file with every tensor in the form in which the kernels read it.
//
// A bundle is a safetensors file. Its metadata are "format": "sterna-bundle", "version", and
// "config", the model's configuration as JSON (config_to_json). Its tensors, each at a multiple of
// 64 bytes, are those of bundle_layout.h:
//   embed_tokens, lm_head (absent when tied)   BF16 or F32 [vocab_size, hidden_size], or in halves
//                                              (bundle_layout.h, split_rows.h), the head only
//   norm, layers.N.input_norm, ...             F32 [size]
//   layers.N.{q,k,v,o,gate,up,down}.tiles      U8 [row_tiles, col_blocks, 64], see kernels.h
//   layers.N.{q,k,v,o,gate,up,down}.scale      F32 [1]
//   _padding.I                                 U8 [1..63], zeros
//
// A linear computes float(integer sum) * (step * scale), where step is the activation row's. For a
// checkpoint that multiplies, scale is its weight_scale; for one that divides, its reciprocal,
// rounded to float. acc / (s_w * s_x), the form of the reference library, rounds twice where this
// one, with its two reciprocals, rounds four times: the results differ by at most six roundings,
// 6 * 2^-24 of the value, and the integer sum, which decides everything else, is the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "format/bundle_layout.h"
#include "format/safetensors.h"
#include "kernels/kernels.h"
#include "kernels/quantized.h"
#include "sterna/model.h"

namespace sterna {

inline constexpr std::string_view kBundleFormat = "sterna-bundle";
// Raise it whenever a bundle written before would be read wrongly: old ones are then refused.
inline constexpr std::string_view kBundleVersion = "1";

// Immutable; views stay valid as long as the Bundle (moving it does not move them).
class Bundle {
 public:
  // Maps the bundle at `path` and checks its structure: the tensors are exactly those of its
  // configuration, with their dtypes, shapes and alignment, and every norm and every scale of a
  // whole matrix is finite. Embeddings, tiles and the scales of groups are not read, so opening
  // takes milliseconds whatever the size. Throws Error: kIo, kCheckpointInvalid, kUnsupportedModel.
  static Bundle open(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const ModelConfig& config() const { return config_; }
  std::uint64_t weight_bytes() const { return weight_bytes_; }  // of all tensors, without padding

  // "layers.3.q". Throws Error(kInternal) for a name that the configuration does not have, as do
  // the functions below.
  TernaryMatrix ternary(const std::string& name) const;
  // The F32 tensor `name`, which has `expected` elements.
  std::span<const float> f32(const std::string& name, std::size_t expected) const;
  // Whether the matrix "embed_tokens" or "lm_head" is kept in halves.
  bool is_split(const std::string& name) const;
  // The format of a quantized table; nothing for another one.
  std::optional<WeightFormat> quantized_format(const std::string& name) const;
  // The tensor itself: "embed_tokens" and "lm_head" are BF16 or F32, 64-byte aligned.
  const TensorView& tensor(const std::string& name) const;

 private:
  explicit Bundle(SafetensorsFile file) : file_(std::move(file)) {}

  void check_structure();
  void check_split(const DenseSpec& spec, const std::function<void(const TensorView&)>& take);
  void check_values() const;

  SafetensorsFile file_;
  ModelConfig config_;
  std::map<std::string, TernaryMatrix> linears_;
  std::uint64_t weight_bytes_ = 0;
};

}  // namespace sterna
