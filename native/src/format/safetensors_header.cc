#include "format/safetensors_header.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/quoted.h"
#include "sterna/error.h"

namespace sterna {

namespace {

constexpr std::size_t kMaxRank = 16;

// Receives the parser's events and follows the header's fixed grammar; whatever does not fit is
// refused at once, so neither depth nor memory can grow beyond the header's own.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderHandler(SafetensorsHeader& header, const std::string& source)
      : header_(header), source_(source) {}

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return unexpected("a number that is not a 64-bit integer");
  }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kShape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        refuse("a dimension of " + std::to_string(value) + " is too large");
      }
      if (entry_.shape.size() == kMaxRank) {
        refuse("more than " + std::to_string(kMaxRank) + " dimensions");
      }
      entry_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (state_ == State::kOffsets && offsets_ < 2) {
      (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
      return true;
    }
    if (state_ == State::kOffsets) refuse("data_offsets must hold two numbers");
    return unexpected("a number");
  }

  bool string(string_t& value) override {
    if (state_ == State::kDtype) {
      const auto dtype = dtype_from_name(value);
      if (!dtype) refuse("unknown dtype " + in_quotes(value));
      entry_.dtype = *dtype;
      state_ = State::kTensor;
      return true;
    }
    if (state_ == State::kMetadataValue) {
      header_.metadata[metadata_key_] = std::move(value);
      state_ = State::kMetadata;
      return true;
    }
    return unexpected("a string");
  }

  bool start_object(std::size_t) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kTensorStart:
        state_ = State::kTensor;
        return true;
      case State::kMetadataStart:
        state_ = State::kMetadata;
        return true;
      default:
        return unexpected("an object");
    }
  }

  bool key(string_t& value) override {
    if (state_ == State::kTop) return top_key(value);
    if (state_ == State::kMetadata) {
      if (header_.metadata.contains(value))
        refuse("the key " + in_quotes(value) + " appears twice");
      metadata_key_ = std::move(value);
      state_ = State::kMetadataValue;
      return true;
    }
    return tensor_key(value);  // keys occur in no other state
  }

  bool end_object() override {
    if (state_ == State::kTensor) {
      for (const auto& [bit, name] :
           {std::pair{kHasDtype, "dtype"}, {kHasShape, "shape"}, {kHasOffsets, "data_offsets"}}) {
        if ((seen_ & bit) == 0) refuse(std::string(name) + " is missing");
      }
      header_.entries.push_back(std::move(entry_));
      in_tensor_ = false;
      state_ = State::kTop;
    } else if (state_ == State::kMetadata) {
      state_ = State::kTop;
    } else {
      state_ = State::kEnd;
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (state_ == State::kShapeStart) {
      state_ = State::kShape;
      return true;
    }
    if (state_ == State::kOffsetsStart) {
      state_ = State::kOffsets;
      offsets_ = 0;
      return true;
    }
    return unexpected("an array");
  }

  bool end_array() override {
    if (state_ == State::kOffsets && offsets_ != 2) refuse("data_offsets must hold two numbers");
    state_ = State::kTensor;
    return true;
  }

  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::json::exception& error) override {
    refuse("the header is not valid JSON: " + in_quotes(error.what(), 200));
  }

 private:
  enum class State {
    kStart,
    kTop,
    kMetadataStart,
    kMetadata,
    kMetadataValue,
    kTensorStart,
    kTensor,
    kDtype,
    kShapeStart,
    kShape,
    kOffsetsStart,
    kOffsets,
    kEnd,
  };
  static constexpr int kHasDtype = 1;
  static constexpr int kHasShape = 2;
  static constexpr int kHasOffsets = 4;

  bool top_key(string_t& value) {
    if (!names_.insert(value).second) refuse("the name " + in_quotes(value) + " appears twice");
    if (value == "__metadata__") {
      state_ = State::kMetadataStart;
      return true;
    }
    entry_ = HeaderEntry{};
    entry_.name = std::move(value);
    seen_ = 0;
    in_tensor_ = true;
    state_ = State::kTensorStart;
    return true;
  }

  bool tensor_key(const string_t& value) {
    int bit = 0;
    if (value == "dtype") {
      bit = kHasDtype;
      state_ = State::kDtype;
    } else if (value == "shape") {
      bit = kHasShape;
      state_ = State::kShapeStart;
    } else if (value == "data_offsets") {
      bit = kHasOffsets;
      state_ = State::kOffsetsStart;
    } else {
      refuse("unknown key " + in_quotes(value));
    }
    if ((seen_ & bit) != 0) refuse("the key " + in_quotes(value) + " appears twice");
    seen_ |= bit;
    return true;
  }

  bool unexpected(const std::string& what) { refuse("the header holds " + what + " out of place"); }

  [[noreturn]] void refuse(const std::string& why) const {
    const std::string where = in_tensor_ ? ": tensor " + in_quotes(entry_.name) : "";
    throw Error(ErrorCode::kCheckpointInvalid, source_ + where + ": " + why,
                in_tensor_ ? entry_.name : source_);
  }

  SafetensorsHeader& header_;
  const std::string& source_;
  State state_ = State::kStart;
  HeaderEntry entry_;
  std::string metadata_key_;
  std::unordered_set<std::string> names_;
  int seen_ = 0;
  int offsets_ = 0;
  bool in_tensor_ = false;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& source) {
  // The parser takes a NUL for the end of the text and would not see what follows.
  if (text.find('\0') != std::string_view::npos) {
    throw Error(ErrorCode::kCheckpointInvalid,
                source + ": the header is not valid JSON: it contains a NUL byte", source);
  }
  SafetensorsHeader header;
  HeaderHandler handler(header, source);
  nlohmann::json::sax_parse(text.begin(), text.end(), &handler);
  return header;
}

}  // namespace sterna
