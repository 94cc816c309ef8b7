#include "sterna/kv_type.h"

#include <algorithm>

#include "sterna/error.h"

namespace sterna {

const std::array<const char*, 3> kKvTypeNames = {"f32", "bf16", "int8"};

const char* name_of(KvType type) { return kKvTypeNames[static_cast<std::size_t>(type)]; }

KvType kv_type_named(const std::string& name) {
  const auto found = std::find(kKvTypeNames.begin(), kKvTypeNames.end(), name);
  if (found == kKvTypeNames.end()) {
    throw Error(ErrorCode::kInvalidArgument,
                "kv_cache_dtype must be f32, bf16 or int8, not '" + name + "'", "kv_cache_dtype");
  }
  return static_cast<KvType>(found - kKvTypeNames.begin());
}

}  // namespace sterna
