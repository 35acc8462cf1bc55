#include "processor.h"

#include <cstdlib>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif

bool avoid_unusable_tiles() {
#if defined(__x86_64__) && defined(__GNUC__)
  constexpr unsigned kTileLeaf = 0x1D;
  constexpr unsigned kAmxTile = 1u << 24;  // CPUID(7, 0).edx
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & kAmxTile) == 0) return false;
  // __get_cpuid_count answers 0 for a leaf above the highest.
  if (__get_cpuid_count(kTileLeaf, 0, &eax, &ebx, &ecx, &edx) && eax != 0) return false;
  static const bool set = std::getenv("ONEDNN_MAX_CPU_ISA") == nullptr && setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16", 0) == 0;
  return set;
#else
  return false;
#endif
}

void shorten_spinning() {
  static const bool chosen = std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr;
  if (!chosen) setenv("GOMP_SPINCOUNT", "10000", 0);
}
