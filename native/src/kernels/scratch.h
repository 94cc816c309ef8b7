// Memory that a kernel needs while it runs.
#pragma once

#include <cstddef>

namespace sterna {

// At least `bytes` bytes, 64-byte aligned and with no defined content. They belong to the calling
// thread and are valid until its next call. Throws std::bad_alloc.
std::byte* thread_scratch(std::size_t bytes);

}  // namespace sterna
