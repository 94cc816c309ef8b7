// A seeded random model, small enough to test the runtime with: written as a Hugging Face
// checkpoint, packed into a bundle and opened like any other.
#pragma once

#include <memory>

#include "sterna/model.h"

namespace sterna::test {

struct TinyShape {
  int vocab = 96;
  int hidden = 64;
  int intermediate = 96;
  int layers = 2;
  int heads = 4;
  int kv_heads = 2;
  int context = 256;
  bool bitnet = true;  // else Llama
  HeadLayout head_layout = HeadLayout::kAuto;
  HeadPrecision head_precision = HeadPrecision::kAsCheckpoint;
  // Rows of the embedding that tie or nearly tie as an output head, zeros, and a wide range.
  bool hard_head = false;
};

std::shared_ptr<const Model> make_tiny_model(const TinyShape& shape = {});

}  // namespace sterna::test
