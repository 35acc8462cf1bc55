#include "core/dropout.h"

#include "core/kernels/dropout_rows.h"
#include "core/parallel.h"

#include <ATen/detail/AcceleratorHooksInterface.h>

#include <algorithm>
#include <cmath>

namespace strata {

void dropout_factors(float* out, int64_t count, double p, float keep, PhiloxKey key, uint64_t offset) {
  const auto threshold = static_cast<uint32_t>(std::min(p * 0x1p32, 4294967295.0));
  const int64_t blocks = count / kernels::kDropoutBlock * kernels::kDropoutBlock;
  kernels::dropout_blocks(out, blocks, key, offset / 4, threshold, keep);
  for (int64_t i = blocks; i < count; i += 4) {
    const auto bits = philox4x32(key, (offset + static_cast<uint64_t>(i)) / 4);
    const int64_t n = std::min<int64_t>(4, count - i);
    for (int64_t j = 0; j < n; ++j) out[i + j] = bits[j] < threshold ? 0.0f : keep;
  }
}

at::Generator device_generator(at::Device device, PhiloxKey key) {
  at::Generator generator = at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  generator.set_current_seed(uint64_t{key.high} << 32 | key.low);
  return generator;
}

at::Tensor dropout_mask(at::IntArrayRef shape, double p, double keep, PhiloxKey key, const at::TensorOptions& options) {
  if (options.device().is_cpu()) {
    at::Tensor mask = at::empty(shape, at::kFloat);
    float* out = mask.mutable_data_ptr<float>();
    const int64_t count = mask.numel();
    parallel_for((count + 4095) / 4096, 1, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block * 4096;
        dropout_factors(out + first, std::min<int64_t>(4096, count - first), p, static_cast<float>(keep), key, static_cast<uint64_t>(first));
      }
    });
    return mask.to(options.dtype());
  }
  return at::empty(shape, options).bernoulli_(1 - p, device_generator(options.device(), key)).mul_(keep);
}

at::Tensor DropoutPass::apply(const at::Tensor& x, double p) {
  if (p <= 0) return x;
  const double keep = 1 / (1 - p);
  const at::TensorOptions options = x.options().requires_grad(false);
  if (x.element_size() >= 4) return x * dropout_mask(x.sizes(), p, keep, next_site(), options);
  // A factor that is rounded to 16 bits would shift the mean at every site the same way. A tensor without dimensions is multiplied in float;
  // libtorch's mul_(Scalar) would round the number first.
  return (x * dropout_mask(x.sizes(), p, 1, next_site(), options)).mul_(at::scalar_tensor(keep, at::kDouble));
}

}  // namespace strata
