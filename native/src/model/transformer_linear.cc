// The linears of the decoder: what goes into them, normalized and rounded, and the products.
#include <algorithm>
#include <cstring>

#include "kernels/grouped.h"
#include "model/transformer.h"

namespace sterna {

void Transformer::add_norm_quantize(const Pass& pass, const float* delta, const float* norm) {
  const int size = config_.hidden_size;
  const Team::Share share = pass.rows();
  for (int i = share.begin; i < share.end; ++i) {
    float* state = states_.data() + pass.slot(i) * size;
    if (delta != nullptr) kernels_.add(state, delta + static_cast<std::size_t>(i) * size, size);
    norm_quantize_row(pass, i, state, norm, size);
  }
  pass.sync_rows();
}

void Transformer::norm_quantize(const Pass& pass, const float* x, const float* norm, int size) {
  const Team::Share share = pass.rows();
  for (int i = share.begin; i < share.end; ++i) {
    norm_quantize_row(pass, i, x + static_cast<std::size_t>(i) * size, norm, size);
  }
  pass.sync_rows();
}

void Transformer::norm_quantize_row(const Pass& pass, int row, const float* x, const float* norm,
                                    int size) {
  float* normed = normed_.data() + pass.slot(row) * size;
  if (norm != nullptr) {
    kernels_.rms_norm(x, norm, size, config_.rms_norm_eps, normed);
    x = normed;
  }
  if (!config_.projection_norms) {
    quantize_row(pass, row, x, size);
  } else if (x != normed) {
    std::memcpy(normed, x, size * sizeof(float));
  }
}

void Transformer::quantize_row(const Pass& pass, int row, const float* x, int size) {
  const QuantizedRows out = quantized(pass, size);
  std::int8_t* codes = out.codes + static_cast<std::size_t>(row) * out.stride;
  if (config_.weight_group == 0) {
    kernels_.quantize_row(x, size, codes, out.stride, out.steps + row, out.sums + row);
    return;
  }
  const std::size_t at = static_cast<std::size_t>(row) * groups(size);
  quantize_groups(kernels_, x, size, config_.weight_group, codes, out.stride, out.steps + at,
                  out.sums + at);
}

void Transformer::quantize_for(const Pass& pass, const Linear& linear) {
  const int size = linear.cols;
  const Team::Share share = pass.rows();
  for (int i = share.begin; i < share.end; ++i) {
    float* own = own_.data() + pass.slot(i) * size;
    kernels_.rms_norm(normed_.data() + pass.slot(i) * size, linear.norm, size,
                      config_.projection_norm_eps, own);
    quantize_row(pass, i, own, size);
  }
  pass.sync_rows();
}

void Transformer::multiply(const Pass& pass, std::initializer_list<Product> products) {
  if (!config_.projection_norms) {
    project(pass, products);
    return;
  }
  for (const Product& product : products) {
    // The input of the one before must have been read by all.
    if (&product != products.begin()) pass.sync_rows();
    quantize_for(pass, *product.weight);
    project(pass, {product});
  }
}

QuantizedRows Transformer::quantized(const Pass& pass, int size) {
  const int stride = code_stride(size);
  const std::size_t slot = pass.slot(0);
  return {codes_.data() + slot * stride, steps_.data() + slot * step_stride_,
          sums_.data() + slot * step_stride_, pass.count, stride};
}

const float* Transformer::normed(const Pass& pass, const float* x, const float* norm,
                                 int size) const {
  const bool in_place = norm == nullptr && !config_.projection_norms;
  return in_place ? x : normed_.data() + pass.slot(0) * size;
}

void Transformer::adapt(const Pass& pass, int layer, Stage stage, const float* x, int size,
                        std::initializer_list<Adapted> outputs) {
  low_rank_.reduce(pass.team, layer, stage, x, size);
  pass.team.sync();
  for (const Adapted& each : outputs) {
    low_rank_.expand(pass.team, layer, each.projection, each.size, each.y, each.size);
  }
}

// Several matrices that read the same input form one range of tiles, shared out once.
void Transformer::project(const Pass& pass, std::initializer_list<Product> products) {
  int tiles = 0;
  for (const Product& p : products) tiles += p.weight->row_tiles();
  const QuantizedRows input = quantized(pass, products.begin()->weight->cols);
  const Team::Share share = pass.team.share(tiles);
  int first = 0;  // this matrix's first tile within the joint range
  for (const Product& p : products) {
    const int count = p.weight->row_tiles();
    const int from = std::max(share.begin - first, 0);
    const int to = std::min(share.end - first, count);
    if (from < to) kernels_.ternary_matmul(*p.weight, input, from, to, p.y, p.y_stride);
    first += count;
  }
}

}  // namespace sterna
