// Which tables this host can run, and which one to use.
#include <cstdlib>
#include <string>

#include "kernels/kernels.h"
#include "kernels/tables.h"
#include "sterna/error.h"

namespace sterna {

namespace {

std::vector<const Kernels*> detect_kernels() {
  std::vector<const Kernels*> tables;
  tables.push_back(&kReferenceKernels);
  return tables;
}

}  // namespace

const std::vector<const Kernels*>& available_kernels() {
  static const std::vector<const Kernels*> tables = detect_kernels();
  return tables;
}

const Kernels& select_kernels() {
  const auto& tables = available_kernels();
  const char* wanted = std::getenv("STERNA_KERNELS");
  if (wanted == nullptr || *wanted == '\0') return *tables.front();
  std::string names;
  for (const Kernels* table : tables) {
    if (std::string(table->name) == wanted) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  throw Error(ErrorCode::kInvalidArgument,
              "STERNA_KERNELS=" + std::string(wanted) +
                  " is not an instruction set that this host can run; choose one of: " + names +
                  ", or unset it",
              "STERNA_KERNELS");
}

const Kernels& reference_kernels() { return kReferenceKernels; }

}  // namespace sterna
