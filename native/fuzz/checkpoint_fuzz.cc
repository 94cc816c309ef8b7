// A checkpoint of any bytes is refused cleanly and leaves no file, or gives a bundle that opens.
// Input: the length of config.json in two bytes, config.json, model.safetensors.
#include <algorithm>
#include <filesystem>

#include "format/bundle.h"
#include "fuzz_support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sterna;
  if (size < 2) return 0;
  const std::span<const std::uint8_t> rest(data + 2, size - 2);
  const std::size_t config_size = std::min<std::size_t>(data[0] + 256u * data[1], rest.size());
  const std::string& dir = fuzz::scratch();
  fuzz::write_file(dir + "/config.json", rest.first(config_size));
  fuzz::write_file(dir + "/model.safetensors", rest.subspan(config_size));
  const std::string bundle_path = dir + "/bundle";
  std::filesystem::remove(bundle_path);
  const bool packed = fuzz::accepts({ErrorCode::kCheckpointInvalid, ErrorCode::kUnsupportedModel},
                                    [&] { pack_checkpoint(dir, bundle_path); });
  const std::filesystem::directory_iterator files(dir);
  fuzz::require(std::distance(begin(files), end(files)) == (packed ? 3 : 2), "no file is left");
  if (packed) {
    fuzz::require(fuzz::accepts({}, [&] { Bundle::open(bundle_path); }), "the bundle opens");
  }
  return 0;
}
