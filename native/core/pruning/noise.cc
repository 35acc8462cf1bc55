#include "core/pruning/noise.h"

#include "core/dropout.h"
#include "core/parallel.h"

#include <algorithm>

namespace strata {

at::Tensor uniform_noise(at::IntArrayRef shape, PhiloxKey key, const at::TensorOptions& options) {
  const at::TensorOptions plain = options.requires_grad(false);
  if (!options.device().is_cpu()) return at::empty(shape, plain).uniform_(0, 1, device_generator(options.device(), key));
  at::Tensor noise = at::empty(shape, at::kFloat);
  float* out = noise.mutable_data_ptr<float>();
  const int64_t count = noise.numel();
  parallel_for((count + 3) / 4, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const auto bits = philox4x32(key, static_cast<uint64_t>(block));
      const int64_t n = std::min<int64_t>(4, count - 4 * block);
      // 23 bits: the middle of each of 2^23 cells is exact in float.
      for (int64_t j = 0; j < n; ++j) out[4 * block + j] = (static_cast<float>(bits[j] >> 9) + 0.5f) * 0x1p-23f;
    }
  });
  return noise.to(plain.dtype());
}

}  // namespace strata
