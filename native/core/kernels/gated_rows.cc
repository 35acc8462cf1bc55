#include "core/kernels/gated_rows.h"

#include "core/kernels/vector_math.h"

#include <cmath>

namespace strata::kernels {
namespace {

struct Normal {
  float below;    // Φ(x)
  float density;  // φ(x)
};

// Φ by Abramowitz & Stegun 7.1.26 (error of erf at most 1.5e-7); the exponential serves both.
STRATA_INLINE Normal normal(float x) {
  const float size = std::fabs(x);
  const float power = fast_exp(-0.5f * x * x);
  const float t = 1.0f / (1.0f + 0.3275911f * 0.70710678f * size);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float tail = 0.5f * p * t * power;  // Φ(-|x|)
  return {x < 0 ? tail : 1.0f - tail, 0.39894228f * power};
}

template <typename Value>
STRATA_INLINE void forward(const Value* inner, int64_t size, Value* out) {
  const Value* gate = inner + size;
  for (int64_t i = 0; i < size; ++i) {
    const float g = widen(gate[i]);
    narrow(widen(inner[i]) * g * normal(g).below, out[i]);
  }
}

template <typename Value>
STRATA_INLINE void backward(const Value* dout, const Value* inner, int64_t size, Value* dinner) {
  const Value* gate = inner + size;
  for (int64_t i = 0; i < size; ++i) {
    const float g = widen(gate[i]), slope = widen(dout[i]);
    const Normal n = normal(g);
    narrow(slope * g * n.below, dinner[i]);
    narrow(slope * widen(inner[i]) * (n.below + g * n.density), dinner[size + i]);
  }
}

}  // namespace

#define STRATA_GATED_GELU(Value)                                                                                          \
  STRATA_CLONES void gated_gelu_row(const Value* inner, int64_t size, Value* out) { forward(inner, size, out); }          \
  STRATA_CLONES void gated_gelu_backward_row(const Value* dout, const Value* inner, int64_t size, Value* dinner) {        \
    backward(dout, inner, size, dinner);                                                                                  \
  }
STRATA_GATED_GELU(float)
STRATA_GATED_GELU(Bf16)
#undef STRATA_GATED_GELU

}  // namespace strata::kernels
