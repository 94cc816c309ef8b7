// The seven linears of a decoder layer, and what they are called in checkpoints.
#pragma once

#include <array>
#include <string>

#include "sterna/model.h"

namespace sterna {

enum class Projection { kQ, kK, kV, kO, kGate, kUp, kDown };

inline constexpr std::array kProjections = {Projection::kQ,   Projection::kK,    Projection::kV,
                                            Projection::kO,   Projection::kGate, Projection::kUp,
                                            Projection::kDown};

inline const char* module_name(Projection projection) {
  constexpr std::array kNames = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                 "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                 "mlp.down_proj"};
  return kNames[static_cast<std::size_t>(projection)];
}

inline int input_size(const ModelConfig& c, Projection projection) {
  if (projection == Projection::kO) return c.heads * c.head_dim;
  return projection == Projection::kDown ? c.intermediate_size : c.hidden_size;
}

inline int output_size(const ModelConfig& c, Projection projection) {
  switch (projection) {
    case Projection::kQ:
      return c.heads * c.head_dim;
    case Projection::kK:
    case Projection::kV:
      return c.kv_heads * c.head_dim;
    case Projection::kGate:
    case Projection::kUp:
      return c.intermediate_size;
    case Projection::kO:
    case Projection::kDown:
      break;
  }
  return c.hidden_size;
}

}  // namespace sterna
