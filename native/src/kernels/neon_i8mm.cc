// Arm NEON with the matrix product of bytes: Armv8.6, also Graviton 3, Neoverse V1 and Apple M2.
#if defined(__aarch64__)

#define STERNA_I8MM
#define STERNA_TABLE kNeonI8mmKernels
#define STERNA_TABLE_NAME "neon_i8mm"
#include "kernels/neon_dotprod.cc"

#endif
