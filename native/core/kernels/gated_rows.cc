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

}  // namespace

STRATA_CLONES void gated_gelu_row(const float* inner, int64_t size, float* out) {
  const float* gate = inner + size;
  for (int64_t i = 0; i < size; ++i) out[i] = inner[i] * gate[i] * normal(gate[i]).below;
}

STRATA_CLONES void gated_gelu_backward_row(const float* dout, const float* inner, int64_t size, float* dinner) {
  const float* gate = inner + size;
  for (int64_t i = 0; i < size; ++i) {
    const Normal n = normal(gate[i]);
    dinner[i] = dout[i] * gate[i] * n.below;
    dinner[size + i] = dout[i] * inner[i] * (n.below + gate[i] * n.density);
  }
}

}  // namespace strata::kernels
