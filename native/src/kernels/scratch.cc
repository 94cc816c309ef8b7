#include "kernels/scratch.h"

#include "base/aligned_buffer.h"

namespace sterna {

std::byte* thread_scratch(std::size_t bytes) {
  thread_local AlignedBuffer<std::byte> buffer;
  if (buffer.size() < bytes) buffer = AlignedBuffer<std::byte>(bytes);
  return buffer.data();
}

}  // namespace sterna
