// An adapter of any bytes is refused cleanly, or read and packed in every precision within memory
// in proportion to its size. Input: the length of adapter_config.json in two bytes,
// adapter_config.json, adapter_model.safetensors.
#include <algorithm>

#include "fuzz_support.h"
#include "model/adapter.h"
#include "model/peft_adapter.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sterna;
  if (size < 2) return 0;
  ModelConfig model;
  model.vocab_size = 5;
  model.hidden_size = 8;
  model.intermediate_size = 12;
  model.layers = 1;
  model.heads = 2;
  model.kv_heads = 1;
  model.head_dim = 4;
  const std::span<const std::uint8_t> rest(data + 2, size - 2);
  const std::size_t config_size = std::min<std::size_t>(data[0] + 256u * data[1], rest.size());
  const std::string_view config(reinterpret_cast<const char*>(rest.data()), config_size);
  fuzz::accepts({ErrorCode::kCheckpointInvalid, ErrorCode::kUnsupportedAdapter}, [&] {
    const PeftAdapter peft = PeftAdapter::parse(
        config, SafetensorsFile::parse(rest.subspan(config_size), "weights"), "config", model);
    for (const auto precision :
         {AdapterPrecision::kF32, AdapterPrecision::kBf16, AdapterPrecision::kInt8,
          AdapterPrecision::kQ8, AdapterPrecision::kQ4}) {
      const LoadedAdapter adapter(peft, model, precision);
      // Tiles are padded to 32 outputs, parts to 64 bytes.
      fuzz::require(adapter.memory_bytes() <= static_cast<std::int64_t>(64 * size + (1 << 16)),
                    "memory follows the size of the file");
    }
  });
  return 0;
}
