// A LoRA adapter in memory: immutable, shared by every request that runs with it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "sterna/model.h"

namespace sterna {

// How the weights of an adapter are held.
enum class AdapterPrecision : std::uint8_t {
  kF32,   // exactly as in the file
  kBf16,  // rounded to the nearest
  kInt8,  // one step for each component of A and of B
  kQ8,    // 8 bits and a half-precision step for 32 weights, as Q8_0 of GGUF
  kQ4,    // 4 bits and the same, as Q4_0
};

class Adapter {
 public:
  // Reads the adapter in the PEFT format in `directory` (see src/model/peft_adapter.h) for a model
  // made by Model::open. Throws Error: kIo for files that cannot be read, kCheckpointInvalid for
  // damaged ones, kUnsupportedAdapter for what does not fit the model or cannot be applied.
  static std::shared_ptr<const Adapter> open(const std::string& directory, const Model& model,
                                             AdapterPrecision precision);
  virtual ~Adapter() = default;

  virtual int rank() const = 0;  // the largest of its matrices
  virtual std::int64_t memory_bytes() const = 0;
  virtual const std::string& base_model() const = 0;  // that it says it was made for; may be empty
};

}  // namespace sterna
