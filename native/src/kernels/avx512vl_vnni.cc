// The kernels of avx_vnni.cc with the same instruction from AVX-512VL. It lets a host with AVX-512
// but without AVX-VNNI run and test them; nothing selects this table but STERNA_KERNELS.
#if defined(__x86_64__)

#define STERNA_DOT_256(sum, weights, codes) _mm256_dpbusd_epi32(sum, weights, codes)
#define STERNA_TABLE kAvx512VlVnniKernels
#define STERNA_TABLE_NAME "avx512vl_vnni"
#include "kernels/avx2.cc"

#endif
