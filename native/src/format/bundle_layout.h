// Which tensors a bundle holds for a configuration.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/quantized.h"
#include "sterna/model.h"

namespace sterna {

// "embed_tokens", "lm_head", unless they are ternary: BF16 or F32 [rows, cols], or in halves
// (split_rows.h): see kHigh; or quantized (kernels/quantized.h): U8 [rows, row_bytes] under the
// name and ".int8", ".q8_0", ….
struct DenseSpec {
  std::string name;
  int rows = 0;
  int cols = 0;
};

struct NormSpec {  // "norm", "layers.N.input_norm", "layers.N.q.norm", ...: F32 [size]
  std::string name;
  int size = 0;
};

// "layers.N.q", ..., and tables that are ternary: <name>.tiles U8 and either <name>.scale F32 [1]
// or, with groups of columns, <name>.scales F16 or F32 [row_tiles, groups, 16].
struct TernarySpec {
  std::string name;
  int rows = 0;  // outputs
  int cols = 0;  // inputs
  int group = 0;

  // Without weights: its sizes.
  TernaryMatrix matrix() const {
    TernaryMatrix sizes;
    sizes.rows = rows;
    sizes.cols = cols;
    sizes.group = group;
    return sizes;
  }
};

struct BundleLayout {
  std::string head;  // the table that is the output head
  std::vector<DenseSpec> dense;
  std::vector<NormSpec> norms;
  std::vector<TernarySpec> linears;
};

// The tensors of a matrix in halves are <name>.high and so on.
inline constexpr std::string_view kHigh = ".high";            // U8 [rows, stride]
inline constexpr std::string_view kLow = ".low";              // U8 [rows, stride]
inline constexpr std::string_view kScales = ".scales";        // F32 [rows]
inline constexpr std::string_view kResiduals = ".residuals";  // F32 [rows]
inline constexpr std::string_view kNorms = ".norms";          // F32 [rows]
// Row r has exceptions [starts[r], starts[r + 1]).
inline constexpr std::string_view kStarts = ".exceptions.starts";    // U32 [rows + 1]
inline constexpr std::string_view kColumns = ".exceptions.columns";  // U16 [exceptions]
inline constexpr std::string_view kBits = ".exceptions.bits";        // BF16 [exceptions]

// "lm_head.q4_0" and its like.
std::string quantized_name(std::string_view name, WeightFormat format);

BundleLayout bundle_layout(const ModelConfig& config);

}  // namespace sterna
