// What tests of the output head share: heads that lie in one piece and in halves, and states.
#pragma once

#include <memory>
#include <random>
#include <vector>

#include "base/thread_pool.h"
#include "check.h"
#include "kernels_support.h"
#include "model/output_head.h"
#include "tiny_model.h"

namespace sterna::test {

// One model twice, packed in either way, with a head for each.
struct HeadPair {
  explicit HeadPair(TinyShape shape, const Kernels& kernels = select_kernels(), int threads = 2)
      : pool(threads) {
    shape.head_layout = HeadLayout::kPlain;
    plain_model = std::dynamic_pointer_cast<const LoadedModel>(make_tiny_model(shape));
    shape.head_layout = HeadLayout::kSplit;
    split_model = std::dynamic_pointer_cast<const LoadedModel>(make_tiny_model(shape));
    plain = std::make_unique<OutputHead>(*plain_model, kernels, pool, 8);
    split = std::make_unique<OutputHead>(*split_model, kernels, pool, 8);
    vocab = shape.vocab;
    hidden = shape.hidden;
  }

  std::vector<float> exact_logits(const std::vector<float>& state) {
    std::vector<float> logits(vocab);
    plain->logits({state.data()}, logits.data());
    return logits;
  }

  ThreadPool pool;
  std::shared_ptr<const LoadedModel> plain_model;
  std::shared_ptr<const LoadedModel> split_model;
  std::unique_ptr<OutputHead> plain;
  std::unique_ptr<OutputHead> split;
  int vocab = 0;
  int hidden = 0;
};

// Random states, and some that look for trouble: one that points along a row of the head, so that
// the row wins by far, sparse ones, and ones with a single value that dwarfs the others.
inline std::vector<float> some_state(const HeadPair& heads, unsigned seed) {
  std::vector<float> state = random_floats(heads.hidden, seed, seed % 5 == 0 ? 20.0f : 1.0f);
  std::mt19937 random(seed);
  switch (seed % 4) {
    case 1: {
      std::vector<float> row(heads.hidden);
      heads.plain_model->embed(static_cast<int>(random() % heads.vocab), select_kernels(),
                               row.data());
      for (int i = 0; i < heads.hidden; ++i) state[i] = 0.3f * state[i] + row[i];
      break;
    }
    case 2:
      for (int i = 0; i < heads.hidden; ++i) state[i] = i % 7 == 0 ? state[i] : 0.0f;
      break;
    case 3:
      state[random() % heads.hidden] = 300.0f;
      break;
    default:
      break;
  }
  return state;
}

}  // namespace sterna::test
