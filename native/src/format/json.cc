#include "format/json.h"

#include <set>
#include <vector>

#include "base/quoted.h"

namespace sterna {

nlohmann::json parse_json(std::string_view text, const std::string& source,
                          const JsonLimits& limits, ErrorCode code) {
  const auto refuse = [&](const std::string& why) {
    throw Error(code, source + ": " + why, source);
  };
  if (text.size() > limits.bytes) {
    refuse(std::to_string(text.size()) + " bytes, at most " + std::to_string(limits.bytes) +
           " are read");
  }
  // The parser takes a NUL for the end of the text and would not see what follows.
  if (text.find('\0') != std::string_view::npos) refuse("not valid JSON: it contains a NUL byte");
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  int depth = 0;
  const auto watch = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (++depth > limits.depth) {
        refuse("nested deeper than " + std::to_string(limits.depth) + " levels");
      }
      if (event == Event::object_start) keys.emplace_back();
    } else if (event == Event::object_end || event == Event::array_end) {
      --depth;
      if (event == Event::object_end) keys.pop_back();
    } else if (event == Event::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) refuse("the key " + in_quotes(key) + " appears twice");
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), watch);
  } catch (const nlohmann::json::exception& error) {
    // The library's message repeats a piece of the input: show it as data.
    refuse("not valid JSON: " + in_quotes(error.what(), 200));
  }
  throw Error(ErrorCode::kInternal, "unreachable");
}

}  // namespace sterna
