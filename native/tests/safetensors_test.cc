#include "format/safetensors.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "check.h"
#include "format/safetensors_writer.h"
#include "format_support.h"

namespace sterna::test {
namespace {

std::span<const std::uint8_t> view(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string text_of(const TensorView& tensor) {
  return {reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()};
}

void check_refused(const std::string& file, const std::string& needle) {
  CHECK_ERROR(SafetensorsFile::parse(view(file), "bad.safetensors"), ErrorCode::kCheckpointInvalid,
              needle);
  CHECK_ERROR(SafetensorsFile::parse(view(file), "bad.safetensors"), ErrorCode::kCheckpointInvalid,
              "bad.safetensors");
}

// One tensor "t" with these fields, over four bytes of data.
void check_refused_tensor(const std::string& fields, const std::string& needle) {
  const std::string file = raw_safetensors("{\"t\":{" + fields + "}}", "abcd");
  check_refused(file, needle);
  check_refused(file, "tensor \"t\"");
}

TEST(reads_what_the_format_describes) {
  const std::string file = safetensors_bytes(
      {{"weights", "F32", {2, 1}, "12345678"}, {"scalar", "U8", {}, "x"}, {"none", "I64", {0}, ""}},
      {{"format", "pt"}});
  const auto opened = SafetensorsFile::parse(view(file), "good");
  CHECK_EQ(opened.tensors().size(), 3u);
  CHECK_EQ(opened.metadata().at("format"), "pt");
  const TensorView* weights = opened.find("weights");
  CHECK(weights != nullptr);
  CHECK(weights->dtype == Dtype::kF32);
  CHECK_EQ(shape_text(weights->shape), "[2, 1]");
  CHECK_EQ(weights->elements(), 2u);
  CHECK_EQ(text_of(*weights), "12345678");
  CHECK_EQ(text_of(*opened.find("scalar")), "x");
  CHECK(opened.find("none")->bytes.empty());
  CHECK(opened.find("other") == nullptr);
}

TEST(views_outlive_a_move_of_the_file) {
  const TempDir dir;
  write_file(dir / "a", safetensors_bytes({{"t", "U8", {3}, "abc"}}));
  SafetensorsFile file = SafetensorsFile::open(dir / "a");
  const TensorView* before = file.find("t");
  const SafetensorsFile moved = std::move(file);
  CHECK(moved.find("t") == before);
  CHECK_EQ(text_of(*before), "abc");
  CHECK_EQ(moved.path(), dir / "a");
}

TEST(a_header_may_be_padded_with_spaces) {
  const std::string file = raw_safetensors("{}   ", "");
  CHECK(SafetensorsFile::parse(view(file), "good").tensors().empty());
}

TEST(short_and_oversized_headers_are_refused) {
  check_refused("", "0 bytes are too few");
  check_refused("1234567", "7 bytes are too few");
  check_refused(std::string(8, '\0'), "does not start with '{'");
  check_refused(std::string("\x10\0\0\0\0\0\0\0{}", 10), "only 2 follow");
  check_refused(std::string(8, '\xff') + "{}", "at most 100000000");
  // One byte more than the format allows, in a file that is really that long, is still refused.
  std::string long_file(8 + 100'000'001, ' ');
  const std::uint64_t length = 100'000'001;
  std::memcpy(long_file.data(), &length, 8);
  long_file[8] = '{';
  long_file[9] = '}';
  check_refused(long_file, "at most 100000000");
}

TEST(malformed_headers_are_refused) {
  const auto header = [](const std::string& text, const std::string& needle) {
    check_refused(raw_safetensors(text, ""), needle);
  };
  header(" {}", "does not start with '{'");
  header("[]", "does not start with '{'");
  header("{", "not valid JSON");
  header("{} {}", "not valid JSON");
  header(std::string("{}\0", 3), "not valid JSON");
  header("{\"a\":1}", "a number out of place");
  header("{\"a\":null}", "null out of place");
  header("{\"a\":true}", "a boolean out of place");
  header("{\"a\":\"b\"}", "a string out of place");
  header("{\"a\":[]}", "an array out of place");
  header("{\"\xff\":{}}", "not valid JSON");
  header("{\"__metadata__\":[]}", "an array out of place");
  header("{\"__metadata__\":{\"a\":1}}", "a number out of place");
  header("{\"__metadata__\":{\"a\":{}}}", "an object out of place");
  header("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", "appears twice");
  header("{\"__metadata__\":{},\"__metadata__\":{}}", "appears twice");
}

TEST(deep_nesting_neither_crashes_nor_takes_memory) {
  check_refused(raw_safetensors("{\"a\":" + std::string(10'000'000, '['), ""), "out of place");
  check_refused(raw_safetensors("{\"a\":{\"shape\":" + std::string(10'000'000, '['), ""),
                "an array out of place");
}

TEST(malformed_tensors_are_refused) {
  const std::string good = R"("dtype":"U8","shape":[4],"data_offsets":[0,4])";
  check_refused_tensor(R"("shape":[4],"data_offsets":[0,4])", "dtype is missing");
  check_refused_tensor(R"("dtype":"U8","data_offsets":[0,4])", "shape is missing");
  check_refused_tensor(R"("dtype":"U8","shape":[4])", "data_offsets is missing");
  check_refused_tensor(good + ",\"more\":1", "unknown key \"more\"");
  check_refused_tensor(good + ",\"dtype\":\"U8\"", "appears twice");
  check_refused_tensor(R"("dtype":"F4","shape":[8],"data_offsets":[0,4])", "unknown dtype \"F4\"");
  check_refused_tensor(R"("dtype":8,"shape":[4],"data_offsets":[0,4])", "out of place");
  check_refused_tensor(R"("dtype":"U8","shape":[-4],"data_offsets":[0,4])", "negative");
  check_refused_tensor(R"("dtype":"U8","shape":[4.0],"data_offsets":[0,4])", "64-bit integer");
  check_refused_tensor(R"("dtype":"U8","shape":["4"],"data_offsets":[0,4])", "out of place");
  check_refused_tensor(R"("dtype":"U8","shape":4,"data_offsets":[0,4])", "out of place");
  check_refused_tensor(R"("dtype":"U8","shape":[4],"data_offsets":[0])", "two numbers");
  check_refused_tensor(R"("dtype":"U8","shape":[4],"data_offsets":[0,4,4])", "two numbers");
  check_refused_tensor(R"("dtype":"U8","shape":[4],"data_offsets":[4,0])", "before they begin");
  check_refused_tensor(
      R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4],"data_offsets":[0,4])",
      "more than 16 dimensions");
}

TEST(shapes_that_lie_are_refused) {
  check_refused_tensor(R"("dtype":"U8","shape":[5],"data_offsets":[0,4])", "takes 5 bytes");
  check_refused_tensor(R"("dtype":"F32","shape":[4],"data_offsets":[0,4])", "takes 16 bytes");
  check_refused_tensor(R"("dtype":"U8","shape":[8],"data_offsets":[0,8])", "truncated");
  check_refused_tensor(R"("dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4])",
                       "overflows 64 bits");
  check_refused_tensor(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,4])",
                       "overflows 64 bits");
  check_refused_tensor(R"("dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,4])",
                       "too large");
  check_refused_tensor(R"("dtype":"U8","shape":[4],"data_offsets":[18446744073709551612,0])",
                       "before they begin");
  check_refused_tensor(R"("dtype":"U8","shape":[4],"data_offsets":[0,18446744073709551616])",
                       "64-bit integer");
}

TEST(overlaps_and_holes_are_refused) {
  const auto two = [](const std::string& a, const std::string& b) {
    return raw_safetensors("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" + a +
                               "},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" + b +
                               "}}",
                           "abcd");
  };
  CHECK_EQ(SafetensorsFile::parse(view(two("[2,4]", "[0,2]")), "good").tensors()[0].name, "b");
  check_refused(two("[0,2]", "[0,2]"), "overlaps");
  check_refused(two("[0,2]", "[1,3]"), "tensor \"b\": overlaps");
  check_refused(raw_safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", "abc"),
                "leaves a gap");
  check_refused(raw_safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "abc"),
                "1 bytes at the end belong to no tensor");
  check_refused(raw_safetensors("{}", "abc"), "3 bytes at the end");
}

TEST(a_hostile_name_cannot_forge_a_message) {
  const std::string file =
      raw_safetensors("{\"a\\nERROR all is lost\\u001b[31m" + std::string(1000, 'x') + "\":1}", "");
  try {
    SafetensorsFile::parse(view(file), "bad");
    CHECK(false);
  } catch (const Error& error) {
    const std::string what = error.what();
    CHECK(what.find('\n') == std::string::npos);
    CHECK(what.find('\x1b') == std::string::npos);
    CHECK(what.size() < 400);
  }
}

TEST(every_truncation_is_refused) {
  const std::string file = safetensors_bytes({{"a", "F32", {3}, "123456789012"}});
  for (std::size_t size = 0; size < file.size(); ++size) {
    CHECK_THROWS(SafetensorsFile::parse(view(file.substr(0, size)), "cut"),
                 ErrorCode::kCheckpointInvalid);
  }
  CHECK_EQ(SafetensorsFile::parse(view(file), "whole").tensors().size(), 1u);
}

TEST(the_writer_aligns_every_tensor) {
  const TempDir dir;
  SafetensorsWriter writer(dir / "out", {{"format", "x"}, {"quote", "\"\\\n"}});
  writer.declare("first", Dtype::kU8, {3});
  writer.declare("second", Dtype::kF32, {2, 2});
  writer.declare("none", Dtype::kBF16, {0, 5});
  writer.declare("third", Dtype::kU8, {64});
  writer.begin();
  writer.write("third", 0, view(std::string(60, 'c')));
  writer.write("second", 8, view("56789012"));
  writer.write("first", 0, view("abc"));
  writer.write("second", 0, view("12345678"));
  writer.write("third", 60, view("dddd"));
  writer.commit();

  const auto file = SafetensorsFile::open(dir / "out");
  CHECK_EQ(file.metadata().at("quote"), "\"\\\n");
  CHECK_EQ(text_of(*file.find("first")), "abc");
  CHECK_EQ(text_of(*file.find("second")), "1234567856789012");
  CHECK_EQ(text_of(*file.find("third")), std::string(60, 'c') + "dddd");
  for (const char* name : {"first", "second", "third"}) {
    CHECK_EQ(reinterpret_cast<std::uintptr_t>(file.find(name)->bytes.data()) % 64, 0u);
  }
  std::size_t padding = 0;
  for (const TensorView& tensor : file.tensors()) {
    if (tensor.name.starts_with(kPaddingPrefix)) {
      padding += tensor.bytes.size();
      CHECK_EQ(text_of(tensor), std::string(tensor.bytes.size(), '\0'));
    }
  }
  CHECK_EQ(padding, 61u + 48u);
  CHECK_EQ(dir.file_count(), 1u);
}

TEST(the_writer_refuses_mistakes_and_leaves_nothing) {
  const TempDir dir;
  {
    SafetensorsWriter writer(dir / "out", {});
    writer.declare("a", Dtype::kU8, {4});
    CHECK_ERROR(writer.declare("a", Dtype::kU8, {4}), ErrorCode::kInternal, "twice");
    CHECK_ERROR(writer.declare("b", Dtype::kF64, {INT64_MAX, 2}), ErrorCode::kInternal,
                "impossible");
    writer.begin();
    CHECK_ERROR(writer.write("c", 0, view("x")), ErrorCode::kInternal, "not declared");
    CHECK_ERROR(writer.write("a", 2, view("xyz")), ErrorCode::kInternal, "beyond the end");
    CHECK_ERROR(writer.write("a", SIZE_MAX, view("xyz")), ErrorCode::kInternal, "beyond the end");
    writer.write("a", 0, view("xyz"));
    CHECK_ERROR(writer.commit(), ErrorCode::kInternal, "incomplete");
  }
  CHECK_EQ(dir.file_count(), 0u);
}

TEST(dtypes_know_their_names) {
  for (const char* name : {"BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "I16", "U16", "F16", "BF16",
                           "I32", "U32", "F32", "I64", "U64", "F64"}) {
    CHECK_EQ(dtype_name(dtype_from_name(name).value()), name);
  }
  CHECK(!dtype_from_name("f32").has_value());
  CHECK_EQ(dtype_size(Dtype::kBF16), 2u);
  CHECK_EQ(dtype_size(Dtype::kU64), 8u);
}

TEST(halves_widen_exactly) {
  CHECK_EQ(f16_to_f32(0x3c00), 1.0f);
  CHECK_EQ(f16_to_f32(0xc000), -2.0f);
  CHECK_EQ(f16_to_f32(0x7bff), 65504.0f);
  CHECK_EQ(f16_to_f32(0x0001), 0x1p-24f);
  CHECK_EQ(f16_to_f32(0x03ff), 1023 * 0x1p-24f);
  CHECK_EQ(f16_to_f32(0x0400), 0x1p-14f);
  CHECK_EQ(f16_to_f32(0x7c00), std::numeric_limits<float>::infinity());
  CHECK_EQ(f16_to_f32(0xfc00), -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(f16_to_f32(0x7e01)));
  CHECK(std::signbit(f16_to_f32(0x8000)));
  CHECK_EQ(bf16_to_f32(0x3f80), 1.0f);
  CHECK_EQ(bf16_to_f32(0xc040), -3.0f);
  CHECK(fits_bf16(1.5f));
  CHECK(!fits_bf16(1.001f));
  // Against the definition, for every finite half.
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31);
    if (exponent == 31) continue;
    const double mantissa = static_cast<double>(bits & 1023) / 1024 + (exponent == 0 ? 0 : 1);
    const double value = std::ldexp(mantissa, exponent == 0 ? -14 : exponent - 15);
    const double expected = (bits & 0x8000) != 0 ? -value : value;
    if (f16_to_f32(static_cast<std::uint16_t>(bits)) != expected) CHECK_EQ(bits, 0u);
  }
}

TEST(widening_reads_any_alignment) {
  const std::string bytes = "x" + bf16_bytes({1.0f, -2.5f});
  float out[2];
  widen(Dtype::kBF16, view(bytes).data() + 1, 2, out);
  CHECK_EQ(out[0], 1.0f);
  CHECK_EQ(out[1], -2.5f);
  CHECK_THROWS(widen(Dtype::kU8, view(bytes).data(), 1, out), ErrorCode::kInternal);
}

}  // namespace
}  // namespace sterna::test
