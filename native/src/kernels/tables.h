// The table of each instruction set. A table exists where its architecture is the target; whether
// the host can run it is for dispatch.cc to say.
#pragma once

#include "kernels/kernels.h"

namespace sterna {

#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvxVnniKernels;
extern const Kernels kAvx512VlVnniKernels;
extern const Kernels kAvx512VnniKernels;
#elif defined(__aarch64__)
extern const Kernels kNeonDotprodKernels;
extern const Kernels kNeonI8mmKernels;
#endif
extern const Kernels kReferenceKernels;

}  // namespace sterna
