// The one exception type of the engine: a machine-readable code and a line for a person.
#pragma once

#include <stdexcept>
#include <string>

namespace sterna {

enum class ErrorCode {
  kInvalidArgument,     // a request or option is out of its range
  kContextLength,       // prompt and generation cannot fit the context window
  kQueueFull,           // the waiting queue is at its limit
  kShuttingDown,        // the engine no longer accepts work
  kCheckpointInvalid,   // a file is truncated, lying, or of the wrong shape or dtype
  kUnsupportedModel,    // a well-formed model that this engine cannot run
  kUnsupportedAdapter,  // an adapter that does not fit the model, or that this engine cannot apply
  kIo,                  // the operating system refused a file operation
  kInternal,            // a bug
};

class Error : public std::runtime_error {
 public:
  // `field` names the option, request field, file or tensor at fault; may be empty.
  Error(ErrorCode code, const std::string& message, std::string field = {})
      : std::runtime_error(message), code_(code), field_(std::move(field)) {}

  ErrorCode code() const { return code_; }
  const std::string& field() const { return field_; }

 private:
  ErrorCode code_;
  std::string field_;
};

}  // namespace sterna
