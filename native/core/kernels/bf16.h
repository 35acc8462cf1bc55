#pragma once
// bfloat16 to and from float without branches, so that loops over them vectorise.
#include "core/kernels/vector_math.h"

namespace strata::kernels {

struct Bf16 {
  uint16_t bits;
};

STRATA_INLINE float widen(float value) { return value; }
STRATA_INLINE double widen(double value) { return value; }
STRATA_INLINE float widen(Bf16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

STRATA_INLINE void narrow(float value, float& out) { out = value; }
STRATA_INLINE void narrow(double value, double& out) { out = value; }
// Rounds to nearest, ties to even; a NaN stays one.
STRATA_INLINE void narrow(float value, Bf16& out) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  out.bits = static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0u : rounded);
}

}  // namespace strata::kernels
