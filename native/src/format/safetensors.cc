#include "format/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "base/quoted.h"
#include "format/safetensors_header.h"
#include "sterna/error.h"

namespace sterna {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

namespace {

[[noreturn]] void refuse(const std::string& source, const std::string& why) {
  throw Error(ErrorCode::kCheckpointInvalid, source + ": " + why, source);
}

[[noreturn]] void refuse_tensor(const std::string& source, const std::string& name,
                                const std::string& why) {
  throw Error(ErrorCode::kCheckpointInvalid, source + ": tensor " + in_quotes(name) + ": " + why,
              name);
}

// Bytes of a tensor of this shape, or nothing when they do not fit 64 bits.
std::optional<std::uint64_t> byte_count(const HeaderEntry& entry) {
  std::uint64_t bytes = dtype_size(entry.dtype);
  for (const std::int64_t dimension : entry.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(dimension), &bytes)) {
      return std::nullopt;
    }
  }
  return bytes;
}

std::string_view header_text(std::span<const std::uint8_t> bytes, const std::string& source) {
  if (bytes.size() < 8) {
    refuse(source, std::to_string(bytes.size()) +
                       " bytes are too few for a safetensors file; is it truncated?");
  }
  std::uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > kSafetensorsMaxHeader) {
    refuse(source, "the header claims " + std::to_string(length) + " bytes, at most " +
                       std::to_string(kSafetensorsMaxHeader) +
                       " are allowed; this is not a safetensors file or it is damaged");
  }
  if (length > bytes.size() - 8) {
    refuse(source, "the header claims " + std::to_string(length) + " bytes, but only " +
                       std::to_string(bytes.size() - 8) + " follow; the file is truncated");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8,
                              static_cast<std::size_t>(length));
  if (text.empty() || text.front() != '{') {
    refuse(source, "the header does not start with '{'; this is not a safetensors file");
  }
  return text;
}

// Entries in order of their bytes, after checking that they tile [0, data_size).
void check_tiling(std::vector<HeaderEntry>& entries, std::uint64_t data_size,
                  const std::string& source) {
  for (const HeaderEntry& entry : entries) {
    if (entry.begin > entry.end) {
      refuse_tensor(source, entry.name, "data_offsets end before they begin");
    }
    if (entry.end > data_size) {
      refuse_tensor(source, entry.name,
                    "data_offsets end at byte " + std::to_string(entry.end) + ", but only " +
                        std::to_string(data_size) + " follow the header; the file is truncated");
    }
    const auto expected = byte_count(entry);
    if (!expected || *expected != entry.end - entry.begin) {
      refuse_tensor(
          source, entry.name,
          std::string(dtype_name(entry.dtype)) + " " + shape_text(entry.shape) +
              (expected ? " takes " + std::to_string(*expected) + " bytes" : " overflows 64 bits") +
              ", data_offsets give " + std::to_string(entry.end - entry.begin));
    }
  }
  std::sort(entries.begin(), entries.end(), [](const HeaderEntry& a, const HeaderEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  for (const HeaderEntry& entry : entries) {
    if (entry.begin != covered) {
      refuse_tensor(source, entry.name,
                    std::string(entry.begin < covered ? "overlaps" : "leaves a gap after") +
                        " the bytes before it (it begins at " + std::to_string(entry.begin) +
                        ", they end at " + std::to_string(covered) + ")");
    }
    covered = entry.end;
  }
  if (covered != data_size) {
    refuse(source, std::to_string(data_size - covered) + " bytes at the end belong to no tensor");
  }
}

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t dimension : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(dimension);
  }
  return text + "]";
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  MappedFile file = MappedFile::open(path);
  SafetensorsFile result = parse(file.bytes(), path);
  result.file_ = std::move(file);  // the mapping, and so every view, stays where it is
  return result;
}

SafetensorsFile SafetensorsFile::parse(std::span<const std::uint8_t> bytes,
                                       const std::string& source) {
  const std::string_view text = header_text(bytes, source);
  SafetensorsHeader header = parse_safetensors_header(text, source);
  const std::span<const std::uint8_t> data = bytes.subspan(8 + text.size());
  check_tiling(header.entries, data.size(), source);

  SafetensorsFile file;
  file.source_ = source;
  file.metadata_ = std::move(header.metadata);
  file.tensors_.reserve(header.entries.size());
  for (HeaderEntry& entry : header.entries) {
    const auto begin = static_cast<std::size_t>(entry.begin);
    const auto size = static_cast<std::size_t>(entry.end - entry.begin);
    file.tensors_.push_back(TensorView{std::move(entry.name), entry.dtype, std::move(entry.shape),
                                       data.subspan(begin, size)});
  }
  for (std::size_t i = 0; i < file.tensors_.size(); ++i) {
    file.index_.emplace(file.tensors_[i].name, i);
  }
  return file;
}

const TensorView* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace sterna
