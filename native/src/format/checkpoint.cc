#include "format/checkpoint.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <system_error>

#include "base/mapped_file.h"
#include "base/quoted.h"
#include "format/json.h"
#include "sterna/error.h"

namespace sterna {

namespace {

constexpr std::size_t kMaxConfigBytes = std::size_t{4} << 20;
constexpr std::size_t kMaxIndexBytes = std::size_t{16} << 20;
constexpr std::size_t kMaxShards = 4096;

constexpr char kConfig[] = "config.json";
constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";

[[noreturn]] void invalid(const std::string& file, const std::string& why) {
  throw Error(ErrorCode::kCheckpointInvalid, file + ": " + why, file);
}

bool exists(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0;
}

std::string read_text(const std::string& path, std::size_t limit) {
  const MappedFile file = MappedFile::open(path);
  if (file.bytes().size() > limit) {
    invalid(path, std::to_string(file.bytes().size()) + " bytes, at most " + std::to_string(limit) +
                      " are read");
  }
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// A plain file name: the shards of a checkpoint lie in its own directory.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name.front() != '.' &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos &&
         name.ends_with(".safetensors");
}

// Tensor name -> shard file name.
std::map<std::string, std::string> read_weight_map(const std::string& path) {
  const nlohmann::json root = parse_json(read_text(path, kMaxIndexBytes), path, {kMaxIndexBytes, 8},
                                         ErrorCode::kCheckpointInvalid);
  if (!root.is_object() || !root.contains("weight_map") || !root["weight_map"].is_object()) {
    invalid(path, "must be an object with an object \"weight_map\"");
  }
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : root["weight_map"].items()) {
    if (!shard.is_string()) invalid(path, "tensor " + in_quotes(tensor) + " has no file name");
    const auto& name = shard.get_ref<const std::string&>();
    if (!is_plain_name(name)) {
      invalid(path, "tensor " + in_quotes(tensor) + " lies in " + in_quotes(name) +
                        ", which is not the plain name of a .safetensors file");
    }
    shards.emplace(tensor, name);
  }
  return shards;
}

}  // namespace

Checkpoint Checkpoint::open(const std::string& directory) {
  struct stat status{};
  if (::stat(directory.c_str(), &status) != 0) {
    throw Error(ErrorCode::kIo,
                "cannot open the checkpoint " + in_quotes(directory, 4096) + ": " +
                    std::generic_category().message(errno),
                directory);
  }
  if (!S_ISDIR(status.st_mode)) invalid(directory, "a checkpoint is a directory, this is a file");

  Checkpoint checkpoint;
  checkpoint.directory_ = directory;
  const std::string base = directory.ends_with('/') ? directory : directory + "/";
  checkpoint.config_path_ = base + kConfig;
  if (!exists(checkpoint.config_path_)) {
    invalid(directory, "has no config.json; this is not a Hugging Face checkpoint");
  }
  checkpoint.config_text_ = read_text(checkpoint.config_path_, kMaxConfigBytes);
  if (exists(base + kSingle)) {
    checkpoint.open_single(base + kSingle);
  } else if (exists(base + kIndex)) {
    checkpoint.open_shards(base + kIndex);
  } else {
    invalid(directory, std::string("has neither ") + kSingle + " nor " + kIndex +
                           "; only safetensors weights are read");
  }
  return checkpoint;
}

void Checkpoint::open_single(const std::string& path) { add_file(path); }

void Checkpoint::open_shards(const std::string& index_path) {
  const auto weight_map = read_weight_map(index_path);
  std::map<std::string, std::size_t> shards;  // file name -> position in files_
  for (const auto& [tensor, shard] : weight_map) shards.emplace(shard, 0);
  if (shards.empty()) invalid(index_path, "lists no tensors");
  if (shards.size() > kMaxShards) {
    invalid(index_path, "lists " + std::to_string(shards.size()) + " files, at most " +
                            std::to_string(kMaxShards) + " are read");
  }
  const std::string base = index_path.substr(0, index_path.size() - (sizeof(kIndex) - 1));
  for (auto& [shard, position] : shards) {
    position = files_.size();
    add_file(base + shard);
  }
  for (const auto& [tensor, shard] : weight_map) {
    const auto found = index_.find(tensor);
    if (found == index_.end() || found->second.file != shards[shard]) {
      invalid(index_path, "tensor " + in_quotes(tensor) + " is not in " + in_quotes(shard) +
                              ", where this index puts it");
    }
  }
  if (index_.size() != weight_map.size()) {
    for (const auto& [name, entry] : index_) {
      if (!weight_map.contains(std::string(name))) {
        refuse(std::string(name), std::string("is missing from ") + kIndex);
      }
    }
  }
}

void Checkpoint::add_file(const std::string& path) {
  files_.push_back(SafetensorsFile::open(path));
  const SafetensorsFile& file = files_.back();
  for (const TensorView& tensor : file.tensors()) {
    const auto [found, added] = index_.emplace(tensor.name, Entry{files_.size() - 1, &tensor});
    if (!added) {
      throw Error(ErrorCode::kCheckpointInvalid,
                  path + ": tensor " + in_quotes(tensor.name) + " is also in " +
                      files_[found->second.file].path(),
                  tensor.name);
    }
  }
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  names.reserve(index_.size());
  for (const auto& [name, entry] : index_) names.emplace_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

const TensorView* Checkpoint::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : found->second.tensor;
}

const TensorView& Checkpoint::get(const std::string& name) const {
  const TensorView* tensor = find(name);
  if (tensor == nullptr) {
    throw Error(ErrorCode::kCheckpointInvalid,
                directory_ + ": tensor " + in_quotes(name) + " is missing", name);
  }
  return *tensor;
}

void Checkpoint::refuse(const std::string& name, const std::string& why) const {
  const auto found = index_.find(name);
  const std::string& file = found == index_.end() ? directory_ : files_[found->second.file].path();
  throw Error(ErrorCode::kCheckpointInvalid, file + ": tensor " + in_quotes(name) + ": " + why,
              name);
}

}  // namespace sterna
