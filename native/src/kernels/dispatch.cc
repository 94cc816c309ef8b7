// Which tables this host can run, and which one to use.
#include <cstdlib>
#include <string>

#include "kernels/kernels.h"
#include "kernels/tables.h"
#include "sterna/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace sterna {

namespace {

#if defined(__x86_64__)

bool bit(unsigned value, int position) { return (value >> position & 1u) != 0; }

// The register state that the operating system saves, or 0 where it cannot be asked.
unsigned long long saved_state(unsigned leaf1_ecx) {
  if (!bit(leaf1_ecx, 27)) return 0;  // OSXSAVE
  unsigned low = 0;
  unsigned high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<unsigned long long>(high) << 32 | low;
}

struct HostFeatures {
  bool avx2 = false;
  bool avx_vnni = false;
  bool avx512_vnni = false;
};

// What CMakeLists.txt compiles each table with must be listed here.
HostFeatures detect() {
  constexpr unsigned long long kYmmState = 0x06;  // xmm, ymm
  constexpr unsigned long long kZmmState = 0xe6;  // and mask registers, both halves of zmm
  HostFeatures host;
  unsigned eax = 0;
  unsigned ebx1 = 0;
  unsigned ecx1 = 0;
  unsigned edx = 0;
  unsigned ebx7 = 0;
  unsigned ecx7 = 0;
  if (__get_cpuid(1, &eax, &ebx1, &ecx1, &edx) == 0) return host;
  unsigned highest7 = 0;  // subleaf
  if (__get_cpuid_count(7, 0, &highest7, &ebx7, &ecx7, &edx) == 0) return host;
  const unsigned long long state = saved_state(ecx1);
  host.avx2 = (state & kYmmState) == kYmmState && bit(ecx1, 28) /* avx */ &&
              bit(ecx1, 12) /* fma */ && bit(ecx1, 29) /* f16c */ && bit(ebx7, 5) /* avx2 */ &&
              bit(ebx7, 8) /* bmi2 */;
  unsigned eax7 = 0;
  unsigned ebx71 = 0;
  unsigned ecx71 = 0;
  if (highest7 >= 1) __get_cpuid_count(7, 1, &eax7, &ebx71, &ecx71, &edx);
  host.avx_vnni = host.avx2 && bit(eax7, 4) /* avx_vnni */;
  host.avx512_vnni = host.avx2 && (state & kZmmState) == kZmmState && bit(ebx7, 16) /* f */ &&
                     bit(ebx7, 17) /* dq */ && bit(ebx7, 30) /* bw */ && bit(ebx7, 31) /* vl */ &&
                     bit(ecx7, 11) /* vnni */;
  return host;
}

#endif

#if defined(__aarch64__)
constexpr unsigned long kHwcap2I8mm = 1ul << 13;  // HWCAP2_I8MM, which older headers lack
#endif

std::vector<const Kernels*> detect_kernels() {
  std::vector<const Kernels*> tables;
#if defined(__x86_64__)
  const HostFeatures host = detect();
  if (host.avx512_vnni) tables.push_back(&kAvx512VnniKernels);
  if (host.avx_vnni) tables.push_back(&kAvxVnniKernels);
  if (host.avx512_vnni) tables.push_back(&kAvx512VlVnniKernels);
  if (host.avx2) tables.push_back(&kAvx2Kernels);
#elif defined(__aarch64__)
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) {
    if ((getauxval(AT_HWCAP2) & kHwcap2I8mm) != 0) tables.push_back(&kNeonI8mmKernels);
    tables.push_back(&kNeonDotprodKernels);
  }
#endif
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
