// AVX-VNNI: AVX2 with the dot product of bytes, on Intel from Alder Lake and AMD from Zen 5.
#if defined(__x86_64__)

#define STERNA_DOT_256(sum, weights, codes) _mm256_dpbusd_avx_epi32(sum, weights, codes)
#define STERNA_TABLE kAvxVnniKernels
#define STERNA_TABLE_NAME "avx_vnni"
#include "kernels/avx2.cc"

#endif
