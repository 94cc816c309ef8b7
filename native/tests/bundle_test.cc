#include "format/bundle.h"

#include <limits>

#include "check.h"
#include "checkpoint_support.h"

namespace sterna::test {
namespace {

using nlohmann::json;

// A bundle taken apart: header as JSON, data as bytes.
struct Parts {
  json header;
  std::string data;

  static Parts of(const std::string& file) {
    std::uint64_t length;
    std::memcpy(&length, file.data(), 8);
    return {json::parse(file.substr(8, length)), file.substr(8 + length)};
  }
  std::string bytes() const {
    std::string text = header.dump();
    text.append((64 - (text.size() + 8) % 64) % 64, ' ');
    return raw_safetensors(text, data);
  }
  std::size_t begin(const std::string& name) const {
    return header[name]["data_offsets"][0].get<std::size_t>();
  }
};

std::string packed(Family family = Family::kBitnetMultiply) {
  const TempDir dir;
  make_checkpoint(family).write(dir);
  pack_checkpoint(dir.path(), dir / "bundle");
  return read_file(dir / "bundle");
}

void check_refused(const std::string& bytes, const std::string& needle,
                   ErrorCode code = ErrorCode::kCheckpointInvalid) {
  const TempDir dir;
  write_file(dir / "bundle", bytes);
  CHECK_ERROR(Bundle::open(dir / "bundle"), code, needle);
}

TEST(opens_what_packing_wrote) {
  const TempDir dir;
  write_file(dir / "bundle", packed());
  Bundle opened = Bundle::open(dir / "bundle");
  const std::uint8_t* tiles = opened.ternary("layers.1.down").tiles;
  const Bundle bundle = std::move(opened);
  CHECK(bundle.ternary("layers.1.down").tiles == tiles);
  CHECK_EQ(bundle.path(), dir / "bundle");
  CHECK_EQ(bundle.config().hidden_size, 24);
  CHECK_EQ(bundle.config().head_dim, 12);
  CHECK(bundle.config().sub_norms);
  // Embedding, norms, tiles of 16 x 16 codes, and one scale each.
  const std::uint64_t norms = 24 + 2 * (24 + 24 + 24 + 36);
  const std::uint64_t blocks = 2 * (4 + 2 + 2 + 4 + 6 + 6 + 6);
  CHECK_EQ(bundle.weight_bytes(), 11 * 24 * 2 + norms * 4 + blocks * 64 + 14 * 4);
  CHECK_ERROR(bundle.ternary("layers.2.q"), ErrorCode::kInternal, "layers.2.q");
  CHECK_ERROR(bundle.tensor("lm_head"), ErrorCode::kInternal, "lm_head");
  CHECK_ERROR(bundle.f32("norm", 25), ErrorCode::kInternal, "25 elements");
  CHECK_ERROR(bundle.f32("embed_tokens", 264), ErrorCode::kInternal, "not F32");
}

TEST(a_rebuilt_bundle_opens) {
  // The tools of this file keep a bundle whole, so the refusals below have their own reasons.
  const TempDir dir;
  write_file(dir / "bundle", Parts::of(packed()).bytes());
  CHECK_EQ(Bundle::open(dir / "bundle").config().layers, 2);
}

TEST(every_truncation_is_refused) {
  const std::string whole = packed();
  for (std::size_t size = 0; size < whole.size(); size += 97) {
    check_refused(whole.substr(0, size), "bundle");
  }
  check_refused(whole.substr(0, whole.size() - 1), "truncated");
  check_refused(whole + "x", "belong to no tensor");
}

TEST(other_safetensors_files_are_refused) {
  check_refused(safetensors_bytes({{"a", "U8", {1}, "x"}}), "not a Sterna bundle");
  check_refused(safetensors_bytes({}, {{"format", "pt"}}), "its format is \"pt\"");
  CHECK_ERROR(Bundle::open("/nonexistent/bundle"), ErrorCode::kIo, "/nonexistent/bundle");
}

TEST(metadata_are_checked) {
  Parts parts = Parts::of(packed());
  parts.header["__metadata__"]["version"] = "2";
  check_refused(parts.bytes(), "version \"2\", this engine reads version 1; pack the checkpoint");
  parts = Parts::of(packed());
  parts.header["__metadata__"].erase("config");
  check_refused(parts.bytes(), "no \"config\"");
  parts.header["__metadata__"]["config"] = "{}";
  check_refused(parts.bytes(), "architectures");
  parts = Parts::of(packed());
  json config = json::parse(parts.header["__metadata__"]["config"].get<std::string>());
  config["rope_scaling"] = {{"rope_type", "dynamic"}};
  parts.header["__metadata__"]["config"] = config.dump();
  check_refused(parts.bytes(), "dynamic", ErrorCode::kUnsupportedModel);
  config.erase("rope_scaling");
  config["num_hidden_layers"] = 3;
  parts.header["__metadata__"]["config"] = config.dump();
  check_refused(parts.bytes(), "tensor \"layers.2.input_norm\": is missing");
  config["num_hidden_layers"] = 1;
  parts.header["__metadata__"]["config"] = config.dump();
  check_refused(parts.bytes(), "is not a tensor of this model");
}

TEST(every_tensor_is_checked) {
  const Parts whole = Parts::of(packed(Family::kLlamaDivide));
  int checked = 0;
  for (const auto& [name, entry] : whole.header.items()) {
    if (name == "__metadata__" || name.starts_with("_padding.")) continue;
    Parts parts = whole;
    parts.header.erase(name);
    parts.header["renamed"] = entry;
    check_refused(parts.bytes(), "\"" + name + "\": is missing");
    parts = whole;
    parts.header[name]["shape"].push_back(1);
    check_refused(parts.bytes(), "\"" + name + "\": is ");
    parts = whole;
    const std::string dtype = entry["dtype"];
    parts.header[name]["dtype"] = dtype == "U8" ? "I8" : dtype == "BF16" ? "F16" : "I32";
    check_refused(parts.bytes(), "\"" + name + "\": is ");
    ++checked;
  }
  CHECK_EQ(checked, 2 + 1 + 4 + 28);
}

TEST(a_misaligned_tensor_is_refused) {
  Parts parts = Parts::of(packed());
  std::string text = parts.header.dump();
  text.append((64 - (text.size() + 8) % 64) % 64 + 4, ' ');
  check_refused(raw_safetensors(text, parts.data), "multiple of 64");
}

TEST(padding_hides_nothing) {
  Parts parts = Parts::of(packed());
  const std::size_t end = parts.data.size();
  parts.data += std::string(64, 'x');
  parts.header["_padding.999"] = {
      {"dtype", "U8"}, {"shape", {64}}, {"data_offsets", {end, end + 64}}};
  check_refused(parts.bytes(), "\"_padding.999\": is not a tensor of this model");
}

TEST(scales_and_norms_must_be_finite) {
  const Parts whole = Parts::of(packed());
  for (const float bad : {0.0f, -1.0f, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    Parts parts = whole;
    parts.data.replace(whole.begin("layers.1.up.scale"), 4, bytes_of<float>({bad}));
    check_refused(parts.bytes(), "\"layers.1.up.scale\": is ");
  }
  Parts parts = whole;
  parts.data.replace(whole.begin("layers.0.ffn_sub_norm") + 35 * 4, 4,
                     bytes_of<float>({std::nanf("")}));
  check_refused(parts.bytes(), "\"layers.0.ffn_sub_norm\": holds a value that is not finite");
}

}  // namespace
}  // namespace sterna::test
