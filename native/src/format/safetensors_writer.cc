#include "format/safetensors_writer.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/quoted.h"
#include "format/safetensors.h"
#include "sterna/error.h"

namespace sterna {

SafetensorsWriter::SafetensorsWriter(std::string path, std::map<std::string, std::string> metadata)
    : path_(std::move(path)), metadata_(std::move(metadata)) {}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::declare(const std::string& name, Dtype dtype,
                                std::vector<std::int64_t> shape) {
  Tensor tensor{name, dtype, std::move(shape)};
  tensor.size = dtype_size(dtype);
  for (const std::int64_t dimension : tensor.shape) {
    if (dimension < 0 ||
        __builtin_mul_overflow(tensor.size, static_cast<std::uint64_t>(dimension), &tensor.size)) {
      throw Error(ErrorCode::kInternal, "impossible shape of tensor " + in_quotes(name));
    }
  }
  append(std::move(tensor));
  const std::size_t excess = data_size_ % kTensorAlignment;
  if (excess == 0) return;
  const std::size_t size = kTensorAlignment - excess;
  Tensor padding{std::string(kPaddingPrefix) + std::to_string(paddings_++),
                 Dtype::kU8,
                 {static_cast<std::int64_t>(size)}};
  padding.size = padding.written = size;  // the file starts out as zeros
  append(std::move(padding));
}

void SafetensorsWriter::append(Tensor tensor) {
  if (!index_.emplace(tensor.name, tensors_.size()).second) {
    throw Error(ErrorCode::kInternal, "tensor " + in_quotes(tensor.name) + " declared twice");
  }
  tensor.begin = data_size_;
  if (__builtin_add_overflow(data_size_, tensor.size, &data_size_)) {
    throw Error(ErrorCode::kInternal, "tensors too large for one file");
  }
  tensors_.push_back(std::move(tensor));
}

std::string SafetensorsWriter::header() const {
  // Written by hand so that the entries stand in the order of their bytes.
  std::string text = "{\"__metadata__\":" + nlohmann::json(metadata_).dump();
  for (const Tensor& tensor : tensors_) {
    const nlohmann::json entry = {
        {"dtype", std::string(dtype_name(tensor.dtype))},
        {"shape", tensor.shape},
        {"data_offsets", {tensor.begin, tensor.begin + tensor.size}},
    };
    text += "," + nlohmann::json(tensor.name).dump() + ":" + entry.dump();
  }
  text += "}";
  const std::size_t excess = (text.size() + 8) % kTensorAlignment;
  if (excess != 0) text.append(kTensorAlignment - excess, ' ');
  return text;
}

void SafetensorsWriter::begin() {
  const std::string text = header();
  if (text.size() > kSafetensorsMaxHeader) {
    throw Error(ErrorCode::kInternal, "the header of " + in_quotes(path_) + " is too long");
  }
  data_begin_ = 8 + text.size();
  std::vector<std::uint8_t> bytes(8 + text.size());
  const std::uint64_t length = text.size();
  std::memcpy(bytes.data(), &length, sizeof(length));
  std::memcpy(bytes.data() + 8, text.data(), text.size());
  file_ = std::make_unique<AtomicFile>(path_);
  file_->allocate(data_begin_ + data_size_);
  file_->write_at(0, bytes);
}

void SafetensorsWriter::write(const std::string& name, std::size_t offset,
                              std::span<const std::uint8_t> bytes) {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    throw Error(ErrorCode::kInternal, "tensor " + in_quotes(name) + " was not declared");
  }
  Tensor& tensor = tensors_[found->second];
  if (offset > tensor.size || bytes.size() > tensor.size - offset) {
    throw Error(ErrorCode::kInternal, "write beyond the end of tensor " + in_quotes(name));
  }
  file_->write_at(data_begin_ + tensor.begin + offset, bytes);
  tensor.written += bytes.size();
}

void SafetensorsWriter::commit() {
  for (const Tensor& tensor : tensors_) {
    if (tensor.written != tensor.size) {
      throw Error(ErrorCode::kInternal, "tensor " + in_quotes(tensor.name) + " is incomplete");
    }
  }
  file_->commit();
}

}  // namespace sterna
