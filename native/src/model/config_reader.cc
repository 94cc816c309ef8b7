#include "model/config_reader.h"

#include <utility>

#include "base/quoted.h"

namespace sterna {

std::string shown(const nlohmann::json& value) {
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  if (value.is_primitive()) return value.dump();
  return value.is_array() ? "a list" : "an object";
}

ConfigReader::ConfigReader(const nlohmann::json& object, const std::string& source,
                           std::string prefix, ErrorCode unsupported_code)
    : object_(object),
      source_(source),
      prefix_(std::move(prefix)),
      unsupported_code_(unsupported_code) {}

const nlohmann::json& ConfigReader::value(const std::string& key) {
  static const nlohmann::json kNull;
  known_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() ? kNull : *found;
}

bool ConfigReader::has(const std::string& key) { return !value(key).is_null(); }

const nlohmann::json& ConfigReader::required(const std::string& key) {
  const nlohmann::json& found = value(key);
  if (found.is_null()) invalid(key, "is missing");
  return found;
}

int ConfigReader::integer(const std::string& key, int minimum, int maximum) {
  const nlohmann::json& found = required(key);
  if (!found.is_number_integer()) invalid(key, "must be an integer, is " + shown(found));
  const bool huge = found.is_number_unsigned() &&
                    found.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  const std::int64_t number = huge ? INT64_MAX : found.get<std::int64_t>();
  if (number < minimum) {
    invalid(key, "is " + shown(found) + ", must be at least " + std::to_string(minimum));
  }
  if (number > maximum) {
    unsupported(key,
                "is " + shown(found) + ", at most " + std::to_string(maximum) + " is supported");
  }
  return static_cast<int>(number);
}

double ConfigReader::number(const std::string& key) {
  const nlohmann::json& found = required(key);
  if (!found.is_number()) invalid(key, "must be a number, is " + shown(found));
  return found.get<double>();
}

std::string ConfigReader::text(const std::string& key) {
  const nlohmann::json& found = required(key);
  if (!found.is_string()) invalid(key, "must be a string, is " + shown(found));
  return found.get<std::string>();
}

bool ConfigReader::boolean(const std::string& key) {
  const nlohmann::json& found = required(key);
  if (!found.is_boolean()) invalid(key, "must be true or false, is " + shown(found));
  return found.get<bool>();
}

bool ConfigReader::boolean_or(const std::string& key, bool fallback) {
  return has(key) ? boolean(key) : fallback;
}

ConfigReader ConfigReader::object(const std::string& key) {
  const nlohmann::json& found = required(key);
  if (!found.is_object()) invalid(key, "must be an object, is " + shown(found));
  return ConfigReader(found, source_, prefix_ + key + ".", unsupported_code_);
}

void ConfigReader::refuse_unknown(const std::set<std::string_view>& harmless) const {
  for (const auto& [key, value] : object_.items()) {
    if (value.is_null() || known_.contains(key) || harmless.contains(key)) continue;
    unsupported(key,
                "is not a key this engine knows, and ignoring it could change the answers; remove "
                "it if it has no effect on the model");
  }
}

void ConfigReader::invalid(const std::string& key, const std::string& why) const {
  refuse(ErrorCode::kCheckpointInvalid, key, why);
}

void ConfigReader::unsupported(const std::string& key, const std::string& why) const {
  refuse(unsupported_code_, key, why);
}

void ConfigReader::refuse(ErrorCode code, const std::string& key, const std::string& why) const {
  // A key that nobody would write is shown, escaped and cut, in the message only.
  throw Error(code, source_ + ": " + in_quotes(prefix_ + key) + " " + why,
              key.size() <= 120 ? prefix_ + key : source_);
}

}  // namespace sterna
