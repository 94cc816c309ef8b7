#include "tiny_model.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "sterna/error.h"

namespace sterna::test {

namespace {

namespace fs = std::filesystem;

class CheckpointWriter {
 public:
  void packed(const std::string& name, int out, int in) {
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(out / 4) * in);
    for (auto& byte : bytes) {
      for (int i = 0; i < 4; ++i) byte |= (random_() % 3) << (2 * i);
    }
    add(name + ".weight", "U8", {out / 4, in}, bytes);
    bf16(name + ".weight_scale", {1}, [] { return 0.35f; });
  }

  void norm(const std::string& name, int size) {
    bf16(name + ".weight", {size}, [this] { return 1.0f + 0.2f * gaussian_(random_); });
  }

  void table(const std::string& name, int rows, int cols) {
    bf16(name + ".weight", {rows, cols}, [this] { return gaussian_(random_); });
  }

  // In turn: a row of its own, the same again, the same but for one last bit, zeros, one whose
  // values lie many binades apart, and one of minus zeros.
  void hard_table(const std::string& name, int rows, int cols) {
    std::vector<float> last(cols);
    int row = -1;
    int col = cols;
    bf16(name + ".weight", {rows, cols}, [&]() -> float {
      if (col == cols) {
        col = 0;
        ++row;
      }
      const int i = col++;
      if (row % 6 == 0) last[i] = gaussian_(random_);
      if (row % 6 == 2 && i == row % cols) last[i] *= 1.008f;
      if (row % 6 == 3) return 0.0f;
      if (row % 6 == 4) return std::ldexp(gaussian_(random_), -static_cast<int>(random_() % 40));
      return row % 6 == 5 ? -0.0f : last[i];
    });
  }

  void write(const fs::path& path) const {
    const std::string header = "{" + header_ + "}";
    std::ofstream file(path, std::ios::binary);
    const std::uint64_t length = header.size();
    file.write(reinterpret_cast<const char*>(&length), sizeof(length));
    file << header;
    file.write(reinterpret_cast<const char*>(data_.data()),
               static_cast<std::streamsize>(data_.size()));
  }

 private:
  template <typename Next>
  void bf16(const std::string& name, const std::vector<int>& shape, Next next) {
    std::size_t count = 1;
    for (const int size : shape) count *= size;
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < count; ++i) {
      const float value = next();
      std::uint32_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      bytes.push_back(bits >> 16 & 0xff);
      bytes.push_back(bits >> 24);
    }
    add(name, "BF16", shape, bytes);
  }

  void add(const std::string& name, const char* dtype, const std::vector<int>& shape,
           const std::vector<std::uint8_t>& bytes) {
    std::ostringstream entry;
    entry << (header_.empty() ? "" : ",") << '"' << name << R"(":{"dtype":")" << dtype
          << R"(","shape":[)";
    for (std::size_t i = 0; i < shape.size(); ++i) entry << (i ? "," : "") << shape[i];
    entry << R"(],"data_offsets":[)" << data_.size() << ',' << data_.size() + bytes.size() << "]}";
    header_ += entry.str();
    data_.insert(data_.end(), bytes.begin(), bytes.end());
  }

  std::mt19937 random_{1};
  std::normal_distribution<float> gaussian_;
  std::string header_;
  std::vector<std::uint8_t> data_;
};

std::string config_json(const TinyShape& s) {
  std::ostringstream json;
  json << R"({"architectures":[")" << (s.bitnet ? "BitNetForCausalLM" : "LlamaForCausalLM")
       << R"("],"model_type":")" << (s.bitnet ? "bitnet" : "llama") << R"(","hidden_act":")"
       << (s.bitnet ? "relu2" : "silu") << R"(","hidden_size":)" << s.hidden
       << R"(,"intermediate_size":)" << s.intermediate << R"(,"num_hidden_layers":)" << s.layers
       << R"(,"num_attention_heads":)" << s.heads << R"(,"num_key_value_heads":)" << s.kv_heads
       << R"(,"vocab_size":)" << s.vocab << R"(,"max_position_embeddings":)" << s.context
       << R"(,"rope_theta":10000.0,"rms_norm_eps":1e-05,"tie_word_embeddings":true,)"
       << R"("quantization_config":{"quant_method":"bitnet","linear_class":"autobitlinear",)"
       << R"("quantization_mode":"offline"}})";
  return json.str();
}

void write_checkpoint(const TinyShape& s, const fs::path& directory) {
  std::ofstream(directory / "config.json") << config_json(s);
  CheckpointWriter writer;
  if (s.hard_head) {
    writer.hard_table("model.embed_tokens", s.vocab, s.hidden);
  } else {
    writer.table("model.embed_tokens", s.vocab, s.hidden);
  }
  const int kv = s.hidden / s.heads * s.kv_heads;
  for (int i = 0; i < s.layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    writer.norm(layer + "input_layernorm", s.hidden);
    writer.norm(layer + "post_attention_layernorm", s.hidden);
    if (s.bitnet) {
      writer.norm(layer + "self_attn.attn_sub_norm", s.hidden);
      writer.norm(layer + "mlp.ffn_sub_norm", s.intermediate);
    }
    writer.packed(layer + "self_attn.q_proj", s.hidden, s.hidden);
    writer.packed(layer + "self_attn.k_proj", kv, s.hidden);
    writer.packed(layer + "self_attn.v_proj", kv, s.hidden);
    writer.packed(layer + "self_attn.o_proj", s.hidden, s.hidden);
    writer.packed(layer + "mlp.gate_proj", s.intermediate, s.hidden);
    writer.packed(layer + "mlp.up_proj", s.intermediate, s.hidden);
    writer.packed(layer + "mlp.down_proj", s.hidden, s.intermediate);
  }
  writer.norm("model.norm", s.hidden);
  writer.write(directory / "model.safetensors");
}

}  // namespace

std::shared_ptr<const Model> make_tiny_model(const TinyShape& shape) {
  std::string pattern = (fs::temp_directory_path() / "sterna-tiny-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw Error(ErrorCode::kIo, "no temporary directory");
  const fs::path directory = pattern;
  write_checkpoint(shape, directory);
  pack_checkpoint(directory.string(), (directory / "bundle.safetensors").string(),
                  {shape.head_layout, shape.head_precision});
  auto model = Model::open((directory / "bundle.safetensors").string());
  fs::remove_all(directory);  // the mapping stays
  return model;
}

}  // namespace sterna::test
