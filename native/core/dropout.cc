#include "core/dropout.h"

#include "core/kernels/dropout_rows.h"
#include "core/parallel.h"

#include <ATen/detail/AcceleratorHooksInterface.h>

#include <algorithm>
#include <cmath>

namespace strata {

void dropout_factors(float* out, int64_t count, double p, PhiloxKey key, uint64_t offset) {
  const auto threshold = static_cast<uint32_t>(std::min(p * 0x1p32, 4294967295.0));
  const auto keep = static_cast<float>(1 / (1 - p));
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

at::Tensor dropout_mask(at::IntArrayRef shape, double p, PhiloxKey key, const at::TensorOptions& options) {
  if (options.device().is_cpu()) {
    at::Tensor mask = at::empty(shape, at::kFloat);
    float* out = mask.mutable_data_ptr<float>();
    const int64_t count = mask.numel();
    parallel_for((count + 4095) / 4096, 1, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block * 4096;
        dropout_factors(out + first, std::min<int64_t>(4096, count - first), p, key, static_cast<uint64_t>(first));
      }
    });
    return mask.to(options.dtype());
  }
  return at::empty(shape, options).bernoulli_(1 - p, device_generator(options.device(), key)).div_(1 - p);
}

at::Tensor DropoutPass::apply(const at::Tensor& x, double p) {
  if (p <= 0) return x;
  return x * dropout_mask(x.sizes(), p, next_site(), x.options().requires_grad(false));
}

}  // namespace strata
