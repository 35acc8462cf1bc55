#include "core/pruning/top_share.h"

#include "core/pruning/top_mask_cpu.h"

#include <algorithm>
#include <cmath>

namespace strata {

int64_t kept_of(double share, int64_t size) {
  return std::clamp<int64_t>(std::llround(share * static_cast<double>(size)), 1, size);
}

at::Tensor top_mask(const at::Tensor& scores, const at::Tensor& weight, int64_t kept) {
  const int64_t size = scores.numel();
  if (kept >= size) return at::ones_like(scores);
  if (scores.device().is_cpu() && scores.scalar_type() == at::kFloat) {
    at::Tensor mask = at::empty(scores.sizes(), at::kFloat);
    top_mask_cpu(scores.contiguous().const_data_ptr<float>(), weight.contiguous().const_data_ptr<float>(), size, kept,
                 mask.mutable_data_ptr<float>());
    return mask;
  }
  const at::Tensor flat = scores.reshape({-1});
  const at::Tensor border = std::get<0>(at::kthvalue(flat, size - kept + 1));
  const at::Tensor above = flat.gt(border);
  const int64_t missing = kept - above.sum().item<int64_t>();
  at::Tensor places = flat.eq(border).nonzero().squeeze(1);
  if (places.size(0) > missing) {
    const at::Tensor order = at::argsort(weight.reshape({-1}).index_select(0, places).abs(), true, 0, true);
    places = places.index_select(0, order.narrow(0, 0, missing));
  }
  return above.to(scores.scalar_type()).index_fill_(0, places, 1).view(scores.sizes());
}

}  // namespace strata
