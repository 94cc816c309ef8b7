// The plain form of attention, for reference.cc: see AttentionArgs.
#pragma once

#include "kernels/kernels.h"

namespace sterna {

void attention_reference(const AttentionArgs& args);
void attention_join_reference(const AttentionArgs& args, float* state, const float* parts);
void attention_finish_reference(const AttentionArgs& args, const float* state);

}  // namespace sterna
