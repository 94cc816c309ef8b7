// A Hugging Face checkpoint directory: config.json and the tensors of its safetensors files.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "format/safetensors.h"

namespace sterna {

// Everything stays mapped, nothing is read ahead. Errors name the file and the tensor.
class Checkpoint {
 public:
  // Opens config.json and model.safetensors, or else the shards that model.safetensors.index.json
  // lists. Throws Error: kIo for files that cannot be read, kCheckpointInvalid for a directory
  // without them, an index that does not match its shards, or damaged files.
  static Checkpoint open(const std::string& directory);

  const std::string& directory() const { return directory_; }
  const std::string& config_path() const { return config_path_; }
  const std::string& config_text() const { return config_text_; }

  std::size_t tensor_count() const { return index_.size(); }
  std::vector<std::string> names() const;  // sorted
  // Null when there is no such tensor.
  const TensorView* find(std::string_view name) const;
  // Throws Error(kCheckpointInvalid) when there is no such tensor.
  const TensorView& get(const std::string& name) const;

  // Throws Error(kCheckpointInvalid): "<file>: tensor "<name>": <why>", field: the name.
  [[noreturn]] void refuse(const std::string& name, const std::string& why) const;

 private:
  struct Entry {
    std::size_t file;
    const TensorView* tensor;
  };

  Checkpoint() = default;
  void open_single(const std::string& path);
  void open_shards(const std::string& index_path);
  void add_file(const std::string& path);

  std::string directory_;
  std::string config_path_;
  std::string config_text_;
  std::vector<SafetensorsFile> files_;
  // Views of names and tensors that the files own; neither moves when a file object does.
  std::unordered_map<std::string_view, Entry> index_;
};

}  // namespace sterna
