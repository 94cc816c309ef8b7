// Typed access to one JSON object that remembers which keys were read.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "sterna/error.h"

namespace sterna {

// Every accessor marks its key as known, treats null as absent, and throws Error with the key as
// its field: kCheckpointInvalid when the value is missing, of the wrong type or out of range.
// What is well-formed but cannot be honoured is refused with `unsupported_code`.
class ConfigReader {
 public:
  // `prefix` is put before keys in errors, such as "quantization_config.".
  ConfigReader(const nlohmann::json& object, const std::string& source, std::string prefix = "",
               ErrorCode unsupported_code = ErrorCode::kUnsupportedModel);

  bool has(const std::string& key);
  int integer(const std::string& key, int minimum, int maximum);
  double number(const std::string& key);
  std::string text(const std::string& key);
  bool boolean(const std::string& key);
  bool boolean_or(const std::string& key, bool fallback);
  // The value whatever its type, or null when absent.
  const nlohmann::json& value(const std::string& key);
  // The object at `key`, which must be one.
  ConfigReader object(const std::string& key);

  // Refuses, as unsupported, every key that was neither read nor is in `harmless`, unless null.
  void refuse_unknown(const std::set<std::string_view>& harmless) const;

  [[noreturn]] void invalid(const std::string& key, const std::string& why) const;
  [[noreturn]] void unsupported(const std::string& key, const std::string& why) const;

 private:
  const nlohmann::json& required(const std::string& key);
  [[noreturn]] void refuse(ErrorCode code, const std::string& key, const std::string& why) const;

  const nlohmann::json& object_;
  const std::string& source_;
  std::string prefix_;
  ErrorCode unsupported_code_;
  std::set<std::string> known_;
};

// The value as a short piece of JSON for a message.
std::string shown(const nlohmann::json& value);

}  // namespace sterna
