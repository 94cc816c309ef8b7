// Any text is a regular expression or is refused, and matching ends. Input: the expression, a zero
// byte, the text.
#include <algorithm>

#include "format/pattern.h"
#include "fuzz_support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find('\0'), input.size());
  std::string why;
  const auto pattern = sterna::Pattern::compile(input.substr(0, end), why);
  sterna::fuzz::require(pattern.has_value() == why.empty(), "a refusal has a reason");
  if (pattern) pattern->matches(input.substr(std::min(end + 1, input.size())).substr(0, 200));
  return 0;
}
