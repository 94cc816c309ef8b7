#include "model/peft_adapter.h"

#include <cmath>
#include <filesystem>
#include <unordered_set>
#include <utility>

#include "base/mapped_file.h"
#include "base/quoted.h"
#include "sterna/error.h"

namespace sterna {

namespace {

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kTensorFile = "adapter_model.safetensors";

[[noreturn]] void refuse(ErrorCode code, const std::string& path, const std::string& tensor,
                         const std::string& why) {
  throw Error(code, path + ": tensor " + in_quotes(tensor) + ": " + why,
              tensor.size() <= 200 ? tensor : path);
}

std::string module_of(int layer, Projection projection) {
  return "model.layers." + std::to_string(layer) + "." + module_name(projection);
}

std::string tensor_name(const std::string& module, const char* part) {
  return "base_model.model." + module + "." + part + ".weight";
}

// What a tensor that belongs to no projection is, and that it cannot be applied.
std::string explain(const std::string& name) {
  const auto holds = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (holds("lora_magnitude_vector")) return "DoRA is not supported; train without use_dora";
  if (holds("lora_embedding_")) return "LoRA on the embedding is not supported";
  if (holds("lora_A.bias") || holds("lora_B.bias")) {
    return "a bias on LoRA is not supported; train without lora_bias";
  }
  if (!holds("lora_")) {
    return "whole modules (modules_to_save) and biases are not supported, only LoRA on the seven "
           "projections";
  }
  return "the model has no such projection; LoRA is supported on q_proj, k_proj, v_proj, o_proj, "
         "gate_proj, up_proj and down_proj of its layers";
}

std::string read_text(const std::string& path) {
  const MappedFile file = MappedFile::open(path);
  return {file.bytes().begin(), file.bytes().end()};
}

}  // namespace

PeftAdapter PeftAdapter::open(const std::string& directory, const ModelConfig& model) {
  namespace fs = std::filesystem;
  const std::string config_path = (fs::path(directory) / kConfigFile).string();
  const std::string tensor_path = (fs::path(directory) / kTensorFile).string();
  std::error_code ignored;
  if (!fs::exists(tensor_path, ignored) &&
      fs::exists(fs::path(directory) / "adapter_model.bin", ignored)) {
    throw Error(ErrorCode::kUnsupportedAdapter,
                directory +
                    ": adapter_model.bin is a pickle, which is not read; save the adapter "
                    "with safe_serialization=True",
                "adapter_model.bin");
  }
  if (fs::file_size(config_path, ignored) > (1u << 20) && !ignored) {
    throw Error(ErrorCode::kCheckpointInvalid, config_path + ": larger than 1 MiB", config_path);
  }
  const std::string text = read_text(config_path);
  return parse(text, SafetensorsFile::open(tensor_path), config_path, model);
}

PeftAdapter PeftAdapter::parse(std::string_view config_text, SafetensorsFile tensors,
                               const std::string& config_source, const ModelConfig& model) {
  PeftAdapter adapter(parse_peft_config(config_text, config_source), std::move(tensors));
  adapter.check_names(model);
  for (int layer = 0; layer < model.layers; ++layer) {
    for (const Projection projection : kProjections) adapter.add(model, layer, projection);
  }
  if (adapter.linears_.empty()) {
    throw Error(ErrorCode::kUnsupportedAdapter,
                adapter.path() + ": target_modules names no projection of the model",
                "target_modules");
  }
  return adapter;
}

std::string PeftAdapter::made_for() const {
  const std::string& base = config_.base_model;
  return "the adapter was made for another model" +
         (base.empty() ? "" : ", " + in_quotes(base) + " by its configuration");
}

void PeftAdapter::check_names(const ModelConfig& model) const {
  std::unordered_set<std::string> known;
  for (int layer = 0; layer < model.layers; ++layer) {
    for (const Projection projection : kProjections) {
      const std::string module = module_of(layer, projection);
      known.insert(tensor_name(module, "lora_A"));
      known.insert(tensor_name(module, "lora_B"));
    }
  }
  for (const TensorView& tensor : tensors_.tensors()) {
    if (!known.contains(tensor.name)) {
      refuse(ErrorCode::kUnsupportedAdapter, path(), tensor.name, explain(tensor.name));
    }
  }
}

void PeftAdapter::add(const ModelConfig& model, int layer, Projection projection) {
  const std::string module = module_of(layer, projection);
  const std::string name_a = tensor_name(module, "lora_A");
  const std::string name_b = tensor_name(module, "lora_B");
  const TensorView* a = tensors_.find(name_a);
  const TensorView* b = tensors_.find(name_b);
  const bool wanted = config_.applies_to(module, layer);
  if (!wanted && a == nullptr && b == nullptr) return;
  if (!wanted) {
    refuse(ErrorCode::kCheckpointInvalid, path(), a != nullptr ? name_a : name_b,
           std::string("target_modules in ") + kConfigFile + " leaves this module out");
  }
  if (a == nullptr || b == nullptr) {
    refuse(ErrorCode::kCheckpointInvalid, path(), a == nullptr ? name_a : name_b,
           std::string("is missing, but target_modules in ") + kConfigFile + " includes it");
  }
  for (const TensorView* tensor : {a, b}) {
    if (!is_float(tensor->dtype)) {
      refuse(ErrorCode::kUnsupportedAdapter, path(), tensor->name,
             "is " + std::string(dtype_name(tensor->dtype)) + "; supported: F32, F16, BF16");
    }
  }
  const int rank = config_.rank_of(module);
  if (rank > kMaxAdapterRank) {
    refuse(ErrorCode::kUnsupportedAdapter, path(), name_a,
           "has rank " + std::to_string(rank) + ", at most " + std::to_string(kMaxAdapterRank) +
               " is supported");
  }
  const auto require_shape = [&](const TensorView& tensor, std::int64_t rows, std::int64_t cols) {
    const std::vector<std::int64_t> shape = {rows, cols};
    if (tensor.shape == shape) return;
    refuse(ErrorCode::kUnsupportedAdapter, path(), tensor.name,
           "has shape " + shape_text(tensor.shape) + ", but the model and rank " +
               std::to_string(rank) + " need " + shape_text(shape) + "; " + made_for());
  };
  require_shape(*a, rank, input_size(model, projection));
  require_shape(*b, output_size(model, projection), rank);
  const float scale = config_.scale_of(module);
  if (!(std::fabs(scale) < 1e6f)) {
    throw Error(ErrorCode::kUnsupportedAdapter,
                path() + ": lora_alpha and r give the scale " + std::to_string(scale) + " for " +
                    module + ", at most 1e6 is supported",
                "lora_alpha");
  }
  linears_.push_back({layer, projection, a, b, rank, scale});
}

}  // namespace sterna
