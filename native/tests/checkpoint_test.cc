#include "format/checkpoint.h"

#include <sys/stat.h>

#include <filesystem>

#include "check.h"
#include "format_support.h"

namespace sterna::test {
namespace {

using nlohmann::json;

constexpr char kIndexName[] = "model.safetensors.index.json";

std::string shard(const std::vector<std::string>& names) {
  std::vector<RawTensor> tensors;
  for (const std::string& name : names) tensors.push_back({name, "U8", {1}, "x"});
  return safetensors_bytes(tensors);
}

void write_index(const TempDir& dir, const json& weight_map) {
  write_file(dir / kIndexName,
             json{{"metadata", {{"total_size", 3}}}, {"weight_map", weight_map}}.dump());
}

void check_refused(const TempDir& dir, const std::string& needle,
                   ErrorCode code = ErrorCode::kCheckpointInvalid) {
  CHECK_ERROR(Checkpoint::open(dir.path()), code, needle);
}

TEST(opens_a_single_file) {
  const TempDir dir;
  write_file(dir / "config.json", "{\"a\": 1}");
  write_file(dir / "model.safetensors", shard({"b", "a"}));
  const Checkpoint checkpoint = Checkpoint::open(dir.path() + "/");
  CHECK_EQ(checkpoint.config_text(), "{\"a\": 1}");
  CHECK_EQ(checkpoint.config_path(), dir / "config.json");
  CHECK_EQ(checkpoint.tensor_count(), 2u);
  CHECK(checkpoint.names() == std::vector<std::string>({"a", "b"}));
  CHECK_EQ(checkpoint.get("a").bytes.size(), 1u);
  CHECK(checkpoint.find("c") == nullptr);
  CHECK_ERROR(checkpoint.get("c"), ErrorCode::kCheckpointInvalid, "tensor \"c\" is missing");
  CHECK_ERROR(checkpoint.refuse("a", "is odd"), ErrorCode::kCheckpointInvalid,
              (dir / "model.safetensors") + ": tensor \"a\": is odd");
}

TEST(opens_shards) {
  const TempDir dir;
  write_file(dir / "config.json", "{}");
  write_file(dir / "model-1.safetensors", shard({"a", "b"}));
  write_file(dir / "model-2.safetensors", shard({"c"}));
  write_index(
      dir,
      {{"a", "model-1.safetensors"}, {"b", "model-1.safetensors"}, {"c", "model-2.safetensors"}});
  const Checkpoint checkpoint = Checkpoint::open(dir.path());
  CHECK_EQ(checkpoint.tensor_count(), 3u);
  CHECK_EQ(checkpoint.get("c").name, "c");
  CHECK_ERROR(checkpoint.refuse("c", "x"), ErrorCode::kCheckpointInvalid, "model-2.safetensors");
}

TEST(follows_links_as_the_hub_cache_makes_them) {
  const TempDir dir;
  const TempDir blobs;
  write_file(blobs / "1", "{}");
  write_file(blobs / "2", shard({"a"}));
  std::filesystem::create_symlink(blobs / "1", dir / "config.json");
  std::filesystem::create_symlink(blobs / "2", dir / "model.safetensors");
  CHECK_EQ(Checkpoint::open(dir.path()).tensor_count(), 1u);
}

TEST(directories_without_a_checkpoint_are_refused) {
  const TempDir dir;
  CHECK_ERROR(Checkpoint::open(dir / "missing"), ErrorCode::kIo, "missing");
  check_refused(dir, "no config.json");
  write_file(dir / "config.json", "{}");
  check_refused(dir, "neither model.safetensors nor");
  CHECK_ERROR(Checkpoint::open(dir / "config.json"), ErrorCode::kCheckpointInvalid,
              "is a directory");
  CHECK_EQ(::mkfifo((dir / "model.safetensors").c_str(), 0600), 0);
  check_refused(dir, "not a regular file", ErrorCode::kIo);
  std::filesystem::remove(dir / "model.safetensors");
  write_file(dir / "model.safetensors", "");
  check_refused(dir, "too few");
  write_file(dir / "config.json", std::string((4 << 20) + 1, ' '));
  check_refused(dir, "at most 4194304 are read");
}

TEST(shard_names_stay_inside_the_directory) {
  const TempDir dir;
  write_file(dir / "config.json", "{}");
  for (const char* name : {"../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", "",
                           ".x.safetensors", "model.bin", "a\\b.safetensors"}) {
    write_index(dir, {{"a", name}});
    check_refused(dir, "plain name");
  }
  write_index(dir, {{"a", std::string("x\0.safetensors", 14)}});
  check_refused(dir, "plain name");
  write_index(dir, {{"a", 1}});
  check_refused(dir, "has no file name");
  write_index(dir, {{"a", "gone.safetensors"}});
  check_refused(dir, "gone.safetensors", ErrorCode::kIo);
}

TEST(an_index_must_match_its_shards) {
  const TempDir dir;
  write_file(dir / "config.json", "{}");
  write_file(dir / "1.safetensors", shard({"a", "b"}));
  write_file(dir / "2.safetensors", shard({"c"}));
  write_index(dir, {{"a", "1.safetensors"}, {"b", "1.safetensors"}, {"c", "1.safetensors"}});
  check_refused(dir, "\"c\" is not in \"1.safetensors\"");
  write_index(dir, {{"a", "1.safetensors"}, {"b", "2.safetensors"}, {"c", "2.safetensors"}});
  check_refused(dir, "\"b\" is not in \"2.safetensors\"");
  write_index(dir, {{"a", "1.safetensors"}, {"c", "2.safetensors"}});
  check_refused(dir, "tensor \"b\": is missing from");
  write_file(dir / "2.safetensors", shard({"c", "a"}));
  write_index(dir, {{"a", "1.safetensors"}, {"b", "1.safetensors"}, {"c", "2.safetensors"}});
  check_refused(dir, "tensor \"a\" is also in");
}

TEST(malformed_indices_are_refused) {
  const TempDir dir;
  write_file(dir / "config.json", "{}");
  for (const char* text : {"{", "[]", "{}", "{\"weight_map\":[]}", "1", ""}) {
    write_file(dir / kIndexName, text);
    check_refused(dir, kIndexName);
  }
  write_index(dir, json::object());
  check_refused(dir, "lists no tensors");
  write_file(dir / kIndexName, R"({"weight_map":{"a":"1.safetensors","a":"2.safetensors"}})");
  check_refused(dir, "appears twice");
  json many = json::object();
  for (int i = 0; i <= 4096; ++i) {
    many["t" + std::to_string(i)] = std::to_string(i) + ".safetensors";
  }
  write_index(dir, many);
  check_refused(dir, "lists 4097 files");
}

}  // namespace
}  // namespace sterna::test
