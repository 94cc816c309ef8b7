// A config.json of any bytes is refused cleanly, or gives a configuration that survives the
// bundle's own form of it.
#include "fuzz_support.h"
#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sterna;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto refusals = {ErrorCode::kCheckpointInvalid, ErrorCode::kUnsupportedModel};
  fuzz::accepts(refusals, [&] {
    const ModelConfig config = parse_config(text, "config.json").model;
    fuzz::require(config.heads % config.kv_heads == 0 && config.head_dim % 2 == 0, "sane heads");
    const std::string json = config_to_json(config);
    std::string again;
    fuzz::require(fuzz::accepts({}, [&] { again = config_to_json(config_from_json(json, "b")); }),
                  "a bundle's configuration is readable");
    fuzz::require(json == again, "a configuration survives its JSON form");
  });
  fuzz::accepts(refusals, [&] { config_from_json(text, "bundle"); });
  return 0;
}
