#pragma once
// The weight of one linear layer in the form that answers fastest on this processor. Legend: T tokens, I inputs, O outputs.
#include "core/layers.h"
#include "core/ops.h"

#include <memory>

namespace strata {

enum class Arithmetic { fp32, bf16, int8 };

class PackedWeight {
 public:
  PackedWeight() = default;
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;
  virtual ~PackedWeight() = default;
  // x W^T + bias, GELU of it if asked: (T, I) -> (T, O) in x's type. bias (O) may be undefined.
  virtual at::Tensor apply(const at::Tensor& x_TI, const at::Tensor& bias_O, bool gelu) const = 0;
  // second(GELU(x W^T + bias)) at once, where that saves memory traffic; undefined where it does not.
  virtual at::Tensor apply_pair(const at::Tensor&, const at::Tensor&, const PackedWeight&, const at::Tensor&) const { return {}; }
  // What it holds beside the weight that it was made of.
  virtual int64_t bytes() const = 0;
};
using PackedWeightRef = std::shared_ptr<const PackedWeight>;

// Null where the plain layer is the best there is. `portable` takes libtorch's operators, `reference` plain arithmetic (8 bits only).
// Throws UNSUPPORTED for int8 where neither our kernels nor libtorch's work.
PackedWeightRef pack_weight(Arithmetic arithmetic, Kernels kernels, const at::Tensor& weight_OI);

// The weight is read where it lies, which may be pages that other processes see too.
PackedWeightRef float_weight(const at::Tensor& weight_OI);
// Sums of so many products of 8 bits, 255 · 127 at most, fit into 32.
constexpr int64_t kMostInt8Inputs = (int64_t{1} << 31) / (255 * 127);
// At most kMostInt8Inputs inputs. Per-row activations in 8 bits, asymmetric; per-column weights in 8 bits, symmetric.
PackedWeightRef int8_weight(const at::Tensor& weight_OI);
// The same arithmetic one value after the other in float, for tests.
PackedWeightRef int8_reference(const at::Tensor& weight_OI);
// libtorch's operators by their names; null where this libtorch or processor lacks them.
PackedWeightRef library_bf16_weight(const at::Tensor& weight_OI);
PackedWeightRef library_int8_weight(const at::Tensor& weight_OI);

}  // namespace strata
