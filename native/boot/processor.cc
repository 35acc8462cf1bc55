#include "processor.h"

#include "platform/process.h"
#include "platform/processor.h"

#include <cstdlib>

using namespace strata;

bool avoid_unusable_tiles() {
  constexpr unsigned kTileLeaf = 0x1D;
  constexpr unsigned kAmxTile = 1u << 24;  // CPUID(7, 0).edx
  platform::Registers registers;
  if (!platform::read_cpuid(7, 0, registers) || (registers.edx & kAmxTile) == 0) return false;
  if (platform::read_cpuid(kTileLeaf, 0, registers) && registers.eax != 0) return false;
  static const bool set =
      std::getenv("ONEDNN_MAX_CPU_ISA") == nullptr && platform::set_default_environment("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16");
  return set;
}

void bound_prepared_products() {
  platform::set_default_environment("LRU_CACHE_CAPACITY", "256");
  platform::set_default_environment("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256");
}

void shorten_spinning() {
  static const bool chosen = std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr;
  if (!chosen) platform::set_default_environment("GOMP_SPINCOUNT", "10000");
}
