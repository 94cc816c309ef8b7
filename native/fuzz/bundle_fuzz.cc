// A bundle of any bytes is refused cleanly, or every weight it names can be read.
#include "format/bundle.h"
#include "fuzz_support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sterna;
  const std::string path = fuzz::scratch() + "/bundle";
  fuzz::write_file(path, {data, size});
  fuzz::accepts({ErrorCode::kCheckpointInvalid, ErrorCode::kUnsupportedModel}, [&] {
    const Bundle bundle = Bundle::open(path);
    unsigned sum = 0;
    const auto read = [&](const std::uint8_t* bytes, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) sum += bytes[i];
    };
    const BundleLayout layout = bundle_layout(bundle.config());
    for (const DenseSpec& spec : layout.dense) {
      const TensorView& tensor = bundle.tensor(spec.name);
      read(tensor.bytes.data(), tensor.bytes.size());
    }
    for (const TernarySpec& spec : layout.linears) {
      const TernaryMatrix matrix = bundle.ternary(spec.name);
      read(matrix.tiles, std::size_t{kTileBytes} * static_cast<std::size_t>(matrix.row_tiles()) *
                             static_cast<std::size_t>(matrix.col_blocks()));
    }
    for (const NormSpec& spec : layout.norms) {
      fuzz::require(bundle.f32(spec.name, static_cast<std::size_t>(spec.size)).size() ==
                        static_cast<std::size_t>(spec.size),
                    "a norm has its size");
    }
    volatile unsigned keep = sum;
    (void)keep;
  });
  return 0;
}
