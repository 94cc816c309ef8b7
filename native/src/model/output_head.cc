#include "model/output_head.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "format/split_rows.h"
#include "kernels/grouped.h"

namespace sterna {

namespace {

constexpr int kPanelRows = 16;

// A state is digit * kDigit + rest, in steps: both fit -127..127.
constexpr int kDigit = 255;
constexpr float kMostSteps = 32500.0f;  // below 127 * 255 + 127 with room for rounding

constexpr double kUnit = 0x1p-24;  // of a rounding to float, relative
// States and products within these magnitudes neither overflow nor lose more than kLeast.
constexpr float kLeastState = 1e-15f;
constexpr double kMostProduct = 1e30;

// Memory of the calling thread, valid until its next call.
float* row_memory(std::size_t size) {
  thread_local AlignedBuffer<float> memory;
  if (memory.size() < size) memory = AlignedBuffer<float>(size);
  return memory.data();
}

int ternary_stride(const TernaryMatrix& head) { return (head.cols + 63) / 64 * 64; }

double norm2(const float* x, int n) {
  double sum = 0.0;
  for (int i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return std::sqrt(sum);
}

}  // namespace

OutputHead::OutputHead(const LoadedModel& model, const Kernels& kernels, ThreadPool& pool,
                       int max_states)
    : model_(model),
      kernels_(kernels),
      pool_(pool),
      split_(model.split_head()),
      quantized_(model.quantized_head()),
      hidden_(model.config().hidden_size),
      vocab_(model.config().vocab_size) {
  const auto states = static_cast<std::size_t>(max_states);
  if (quantized_ != nullptr) {
    const QuantizedLayout layout = quantized_->layout();
    codes_ = AlignedBuffer<std::int8_t>(2 * states * layout.padded);
    sums_ = AlignedBuffer<std::int32_t>(2 * states * layout.groups());
    steps_.resize(states);
    return;
  }
  inputs_ = AlignedBuffer<float>(states * hidden_);
  if (const TernaryMatrix* head = model.ternary_head(); head != nullptr) {
    codes_ = AlignedBuffer<std::int8_t>(states * ternary_stride(*head));
    sums_ = AlignedBuffer<std::int32_t>(states * head->groups());
    steps_.resize(states * head->groups());
  }
  if (split_ == nullptr) return;
  codes_ = AlignedBuffer<std::int8_t>(2 * states * split_->stride);
  sums_ = AlignedBuffer<std::int32_t>(2 * states);
  steps_.resize(states);
  largest_norm_ = *std::max_element(split_->norms, split_->norms + split_->rows);
}

void OutputHead::gather(const std::vector<const float*>& states) {
  const auto hidden = static_cast<std::size_t>(hidden_);
  for (std::size_t i = 0; i < states.size(); ++i) {
    std::memcpy(inputs_.data() + i * hidden, states[i], hidden * sizeof(float));
  }
}

void OutputHead::logits(const std::vector<const float*>& states, float* out) {
  if (quantized_ != nullptr) return quantized_logits(states, out);
  gather(states);
  const int count = static_cast<int>(states.size());
  if (split_ != nullptr) return split_logits(count, out);
  if (const TernaryMatrix* ternary = model_.ternary_head(); ternary != nullptr) {
    return ternary_logits(*ternary, count, out);
  }
  const DenseMatrix& head = *model_.head();
  const auto hidden = static_cast<std::size_t>(hidden_);
  // Two operations a weight, each some ten times dearer than an int8 one.
  const double work = 20.0 * vocab_ * hidden * count;
  pool_.split(vocab_, work, [&](int begin, int end) {
    if (head.bf16 != nullptr) {
      kernels_.matmul_bf16(head.bf16, hidden_, begin, end, inputs_.data(), count, hidden, out,
                           vocab_);
    } else {
      kernels_.matmul_f32(head.f32, hidden_, begin, end, inputs_.data(), count, hidden, out,
                          vocab_);
    }
  });
}

// As any other linear of a model with groups: the states are rounded by groups.
void OutputHead::ternary_logits(const TernaryMatrix& head, int states, float* out) {
  const int stride = ternary_stride(head);
  const QuantizedRows input{codes_.data(), steps_.data(), sums_.data(), states, stride};
  for (int i = 0; i < states; ++i) {
    const std::size_t at = static_cast<std::size_t>(i) * head.groups();
    quantize_groups(kernels_, inputs_.data() + static_cast<std::size_t>(i) * hidden_, hidden_,
                    head.group, input.codes + static_cast<std::size_t>(i) * stride, stride,
                    input.steps + at, input.sums + at);
  }
  const double work = 1.0 * vocab_ * hidden_ * states;
  pool_.split(head.row_tiles(), work, [&](int begin, int end) {
    kernels_.ternary_matmul(head, input, begin, end, out, vocab_);
  });
}

void OutputHead::quantized_logits(const std::vector<const float*>& states, float* out) {
  const QuantizedLayout layout = quantized_->layout();
  const int count = static_cast<int>(states.size());
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    quantize_state(layout, states[i], hidden_, codes_.data() + 2 * at * layout.padded,
                   sums_.data() + 2 * at * layout.groups(), &steps_[i]);
  }
  const QuantizedStates inputs{codes_.data(), sums_.data(), steps_.data(), count};
  const double work = 4.0 * vocab_ * layout.padded * count;
  pool_.split(vocab_, work, [&](int begin, int end) {
    kernels_.matmul_quantized(*quantized_, begin, end, inputs, out, vocab_);
  });
}

// The exact rows go through the product of floats: it adds in the same order as the one for bf16,
// and a bf16 number widened is the same number.
void OutputHead::split_logits(int states, float* out) {
  const double work = 25.0 * vocab_ * hidden_ * states;
  pool_.split(vocab_, work, [&](int begin, int end) {
    if (states == 1) {
      split_rows_of_one(begin, end, out);
    } else {
      split_rows_of_many(states, begin, end, out);
    }
  });
}

// While one row is multiplied, the next is made.
void OutputHead::split_rows_of_one(int begin, int end, float* out) {
  const auto hidden = static_cast<std::size_t>(hidden_);
  const std::size_t row_size = (hidden + 15) / 16 * 16;
  float* ready = row_memory(2 * row_size);
  float* following = ready + row_size;
  split_->row(begin, kernels_, ready);
  for (int row = begin; row + 1 < end; ++row) {
    const std::size_t next = (row + 1) * split_->stride;
    kernels_.dot_and_join(ready, hidden_, inputs_.data(), out + row, split_->high + next,
                          split_->low + next, split_->scales[row + 1], following);
    split_->patch(row + 1, following);
    std::swap(ready, following);
  }
  kernels_.matmul_f32(ready, hidden_, 0, 1, inputs_.data(), 1, hidden, out + end - 1, vocab_);
}

// Panels of rows feed the tiles of the kernel, in which several rows share the loads of the inputs.
void OutputHead::split_rows_of_many(int states, int begin, int end, float* out) {
  const auto hidden = static_cast<std::size_t>(hidden_);
  float* panel = row_memory(kPanelRows * hidden);
  for (int row = begin; row < end; row += kPanelRows) {
    const int rows = std::min(kPanelRows, end - row);
    for (int r = 0; r < rows; ++r) split_->row(row + r, kernels_, panel + r * hidden);
    kernels_.matmul_f32(panel, hidden_, 0, rows, inputs_.data(), states, hidden, out + row, vocab_);
  }
}

void OutputHead::exact(const float* state, std::span<const TokenId> tokens, float* out) const {
  const auto hidden = static_cast<std::size_t>(hidden_);
  float* row = row_memory(hidden);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    split_->row(tokens[i], kernels_, row);
    kernels_.matmul_f32(row, hidden_, 0, 1, state, 1, hidden, out + i, 1);
  }
}

bool OutputHead::can_screen(const float* state) const {
  if (split_ == nullptr) return false;
  float largest = 0.0f;
  for (int i = 0; i < hidden_; ++i) {
    if (!std::isfinite(state[i])) return false;
    largest = std::max(largest, std::fabs(state[i]));
  }
  return largest >= kLeastState && norm2(state, hidden_) * largest_norm_ <= kMostProduct;
}

void OutputHead::quantize(int index, ScreenedLogits& screened) {
  const auto hidden = static_cast<std::size_t>(hidden_);
  const float* x = inputs_.data() + index * hidden;
  std::int8_t* coarse = codes_.data() + 2 * index * split_->stride;
  std::int8_t* fine = coarse + split_->stride;
  float largest = 0.0f;
  for (std::size_t i = 0; i < hidden; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float step = largest / kMostSteps;
  std::int32_t sums[2] = {};
  double state = 0.0, error = 0.0, coarse_squares = 0.0, fine_squares = 0.0;
  for (std::size_t i = 0; i < hidden; ++i) {
    const auto units = static_cast<int>(std::lrint(x[i] / step));
    const int digit = (units + (units < 0 ? -kDigit / 2 : kDigit / 2)) / kDigit;
    const int rest = units - digit * kDigit;
    const int place = split_place(static_cast<int>(i));
    coarse[place] = static_cast<std::int8_t>(digit);
    fine[place] = static_cast<std::int8_t>(rest);
    sums[0] += digit;
    sums[1] += rest;
    const double missed = static_cast<double>(x[i]) - static_cast<double>(units) * step;
    state += static_cast<double>(x[i]) * x[i];
    error += missed * missed;
    coarse_squares += static_cast<double>(digit) * digit;
    fine_squares += static_cast<double>(rest) * rest;
  }
  sums_[2 * index] = sums[0];
  sums_[2 * index + 1] = sums[1];
  steps_[index] = step;

  // The exact kernel: every product passes through at most n / 16 sums of its lane, one of which
  // takes it, and four of pairs; |rounding| <= m u / (1 - m u) * sum |w x| <= ... * |w| |x|.
  const double additions = std::ceil(hidden_ / 16.0) + 4.0;
  const double exact_rounding = additions * kUnit / (1.0 - additions * kUnit) * std::sqrt(state);
  // The approximate one: two integers become floats, are put together and scaled, and then the
  // error is taken off or added; ten roundings of each digit's share are more than that.
  const double digits = (kDigit * std::sqrt(coarse_squares) + std::sqrt(fine_squares)) * step;
  const double approximate_rounding = 10.0 * kUnit * digits;
  constexpr double kUp = 1.0 + 1e-5;  // the roundings of error(), and of the sums above
  screened.per_residual = static_cast<float>(std::sqrt(state) * kUp);
  screened.per_norm =
      static_cast<float>((std::sqrt(error) + exact_rounding + approximate_rounding) * kUp);
}

std::vector<ScreenedLogits> OutputHead::screen(const std::vector<const float*>& states,
                                               float* out) {
  gather(states);
  const int count = static_cast<int>(states.size());
  std::vector<ScreenedLogits> screened(count);
  for (int i = 0; i < count; ++i) {
    screened[i].approximate = out + static_cast<std::size_t>(i) * vocab_;
    screened[i].residuals = split_->residuals;
    screened[i].norms = split_->norms;
    screened[i].tokens = vocab_;
    screened[i].kernels = &kernels_;
    quantize(i, screened[i]);
  }
  const int blocks = (vocab_ + kScreenBlock - 1) / kScreenBlock;
  for (ScreenedLogits& each : screened) {
    each.block_lower.resize(blocks);
    each.block_upper.resize(blocks);
  }
  const double work = 4.0 * vocab_ * static_cast<double>(split_->stride) * count;
  pool_.split(blocks, work, [&](int begin, int end) {
    thread_local std::vector<std::int32_t> sums;
    sums.resize(static_cast<std::size_t>(2 * count) * kScreenBlock);
    for (int block = begin; block < end; ++block) screen_block(block, sums.data(), screened, out);
  });
  return screened;
}

void OutputHead::screen_block(int block, std::int32_t* sums, std::vector<ScreenedLogits>& screened,
                              float* out) {
  const int row = block * kScreenBlock;
  const int rows = std::min(kScreenBlock, vocab_ - row);
  const int count = static_cast<int>(screened.size());
  kernels_.dot_codes(split_->high + row * split_->stride, split_->stride, 0, rows, codes_.data(),
                     sums_.data(), 2 * count, sums, kScreenBlock);
  for (int i = 0; i < count; ++i) {
    const std::int32_t* coarse = sums + 2 * i * kScreenBlock;
    const std::int32_t* fine = coarse + kScreenBlock;
    const float step = 256.0f * steps_[i];
    float* target = out + static_cast<std::size_t>(i) * vocab_ + row;
    for (int r = 0; r < rows; ++r) {
      const float units = static_cast<float>(kDigit) * static_cast<float>(coarse[r]);
      target[r] = (units + static_cast<float>(fine[r])) * (step * split_->scales[row + r]);
    }
    // By lanes, which become vector code.
    constexpr int kLanes = 16;
    float lower[kLanes];
    float upper[kLanes];
    std::fill(lower, lower + kLanes, -std::numeric_limits<float>::infinity());
    std::fill(upper, upper + kLanes, -std::numeric_limits<float>::infinity());
    for (int r = 0; r < rows; r += kLanes) {
      const int width = std::min(kLanes, rows - r);
      for (int l = 0; l < width; ++l) {
        const float low = screened[i].lower(row + r + l);
        const float high = screened[i].upper(row + r + l);
        lower[l] = low > lower[l] ? low : lower[l];
        upper[l] = high > upper[l] ? high : upper[l];
      }
    }
    screened[i].block_lower[block] = *std::max_element(lower, lower + kLanes);
    screened[i].block_upper[block] = *std::max_element(upper, upper + kLanes);
  }
}

}  // namespace sterna
