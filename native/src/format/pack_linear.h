// Packing the ternary matrices of a checkpoint, whichever way it keeps them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "format/bundle_layout.h"
#include "format/checkpoint.h"
#include "format/checkpoint_form.h"
#include "format/safetensors_writer.h"

namespace sterna {

// For matrices whose tensors have the dtypes and shapes of the checkpoint's form. Everything throws
// Error(kCheckpointInvalid), naming the tensor.
class LinearPacker {
 public:
  LinearPacker(const Checkpoint& checkpoint, const CheckpointForm& form, SafetensorsWriter& writer)
      : checkpoint_(checkpoint), form_(form), writer_(writer) {}

  // Checks the scales of a packed matrix.
  void check(const TernarySpec& spec);
  // Declares the tensors of the matrix, and then writes them.
  void declare(const TernarySpec& spec);
  void write(const TernarySpec& spec);

 private:
  float one_scale(const TernarySpec& spec) const;
  std::vector<float> packed_scales(const TernarySpec& spec) const;
  // Trits of rows [begin, end), and their scales by groups where the matrix has groups.
  void read_rows(const TernarySpec& spec, const TensorView& tensor, int begin, int end);
  void write_scales(const TernarySpec& spec, int begin, int end);

  const Checkpoint& checkpoint_;
  const CheckpointForm& form_;
  SafetensorsWriter& writer_;
  std::map<std::string, bool> half_scales_;  // of declared matrices with groups
  float k_ = 0.0f;                           // of latent weights
  std::vector<std::int8_t> trits_;
  std::vector<float> scales_;  // [rows][groups] of what is being written
  std::vector<float> floats_;
  std::vector<std::uint8_t> tiles_;
};

}  // namespace sterna
