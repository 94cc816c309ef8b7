// Text from a file inside a message for a person: short, one line, unambiguous.
#pragma once

#include <string>
#include <string_view>

namespace sterna {

// "text" between double quotes; quotes, backslashes and bytes outside printable ASCII are escaped
// and at most `limit` bytes of `text` are shown, so a hostile name cannot forge a log line.
std::string in_quotes(std::string_view text, std::size_t limit = 120);

}  // namespace sterna
