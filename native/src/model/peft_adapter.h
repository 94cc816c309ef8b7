// A bounds-checked reader of adapters in the PEFT format: nothing in the files is believed
// unchecked.
#pragma once

#include <string>
#include <vector>

#include "format/safetensors.h"
#include "model/peft_config.h"
#include "model/projection.h"

namespace sterna {

inline constexpr int kMaxAdapterRank = 1024;

// y += scale * B (A x), beside the linear's own output, x being its input before it is quantized.
struct PeftLinear {
  int layer = 0;
  Projection projection = Projection::kQ;
  const TensorView* a = nullptr;  // float dtype, [rank, input]
  const TensorView* b = nullptr;  // float dtype, [output, rank]
  int rank = 0;
  float scale = 0.0f;
};

class PeftAdapter {
 public:
  // Opens adapter_config.json and adapter_model.safetensors in `directory` and checks that every
  // tensor belongs to a projection of the model that the configuration targets, and every such
  // projection has its two. The values of the weights are not looked at. Throws Error as
  // Adapter::open does, naming the file and the key or tensor.
  static PeftAdapter open(const std::string& directory, const ModelConfig& model);
  // As open(), over bytes that outlive the result.
  static PeftAdapter parse(std::string_view config_text, SafetensorsFile tensors,
                           const std::string& config_source, const ModelConfig& model);

  const PeftConfig& config() const { return config_; }
  const std::vector<PeftLinear>& linears() const { return linears_; }  // by layer and projection
  const std::string& path() const { return tensors_.path(); }

 private:
  PeftAdapter(PeftConfig config, SafetensorsFile tensors)
      : config_(std::move(config)), tensors_(std::move(tensors)) {}
  void check_names(const ModelConfig& model) const;
  std::string made_for() const;  // of an adapter that does not fit: which model it does
  void add(const ModelConfig& model, int layer, Projection projection);

  PeftConfig config_;
  SafetensorsFile tensors_;
  std::vector<PeftLinear> linears_;
};

}  // namespace sterna
