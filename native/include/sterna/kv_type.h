// How the KV cache holds its numbers.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace sterna {

enum class KvType : std::uint8_t { kF32, kBf16, kInt8 };

// The names of the types, in the order of the enum: "f32", "bf16", "int8".
extern const std::array<const char*, 3> kKvTypeNames;

const char* name_of(KvType type);
// Throws Error (kInvalidArgument, kv_cache_dtype) for a name that is none of these.
KvType kv_type_named(const std::string& name);

}  // namespace sterna
