// A safetensors file of any bytes is refused cleanly, or every tensor lies inside it.
#include "format/safetensors.h"
#include "fuzz_support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sterna;
  fuzz::accepts({ErrorCode::kCheckpointInvalid}, [&] {
    const auto file = SafetensorsFile::parse({data, size}, "fuzz.safetensors");
    std::size_t covered = 0;
    unsigned sum = 0;
    for (const TensorView& tensor : file.tensors()) {
      covered += tensor.bytes.size();
      for (const std::uint8_t byte : tensor.bytes) sum += byte;
      fuzz::require(file.find(tensor.name) == &tensor, "a tensor is found by its name");
      fuzz::require(tensor.bytes.empty() || tensor.bytes.data() >= data, "views point inside");
    }
    fuzz::require(covered <= size, "tensors do not overlap");
    volatile unsigned keep = sum;
    (void)keep;
  });
  return 0;
}
