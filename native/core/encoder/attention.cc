#include "core/encoder/attention.h"

#include "core/inference/rows.h"
#include "core/kernels/attention_cpu.h"

#include <ATen/ops/_flash_attention_forward.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <map>
#include <mutex>

namespace strata {
namespace {

// One sequence after the other with plain operators: the path that the others are held against.
at::Tensor reference_attention(const ForwardPass& pass, const at::Tensor& qkv_T3H, const PackedBatch& batch, int64_t heads) {
  const int64_t hidden = qkv_T3H.size(1) / 3, size = hidden / heads;
  std::vector<at::Tensor> contexts;
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    const int64_t length = batch.offsets[b + 1] - batch.offsets[b];
    const at::Tensor qkv_3NSD =
        qkv_T3H.narrow(0, batch.offsets[b], length).reshape({length, 3, heads, size}).permute({1, 2, 0, 3});
    const at::Tensor scores_NSS = at::matmul(qkv_3NSD[0], qkv_3NSD[1].transpose(1, 2)) / std::sqrt(static_cast<double>(size));
    at::Tensor weights_NSS = at::softmax(scores_NSS, -1);
    if (pass.dropout) weights_NSS = pass.dropout->apply(weights_NSS, pass.attention_dropout);
    contexts.push_back(at::matmul(weights_NSS, qkv_3NSD[2]).permute({1, 0, 2}).reshape({length, hidden}));
  }
  return at::cat(contexts, 0);
}

// For devices without a kernel of our own: sequences are padded inside this function only.
at::Tensor padded_attention(const ForwardPass& pass, const at::Tensor& qkv_T3H, const PackedBatch& batch, int64_t heads) {
  const int64_t hidden = qkv_T3H.size(1) / 3, size = hidden / heads, longest = batch.longest, sequences = batch.sequences();
  const Padding& padding = batch.padding();
  const at::Tensor qkv_3BNSD = qkv_T3H.index_select(0, padding.token_of_P)
                                   .reshape({sequences, longest, 3, heads, size})
                                   .permute({2, 0, 3, 1, 4});
  const at::Tensor scores = at::matmul(qkv_3BNSD[0], qkv_3BNSD[1].transpose(-1, -2)) / std::sqrt(static_cast<double>(size)) +
                            padding.mask_B11S.to(qkv_T3H.scalar_type());
  at::Tensor weights = at::softmax(scores, -1);
  if (pass.dropout) weights = pass.dropout->apply(weights, pass.attention_dropout);
  return at::matmul(weights, qkv_3BNSD[2])
      .permute({0, 2, 1, 3})
      .reshape({sequences * longest, hidden})
      .index_select(0, padding.place_of_T);
}

// libtorch's flash kernel over packed sequences (FlashAttention-2, Dao 2023, arXiv 2307.08691): no padding and no matrix of scores.
// CUDA, 16-bit types. unbind's gradient is one stack, so that the three gradients are not added up from zero-filled matrices.
at::Tensor flash_attention(const at::Tensor& qkv_T3H, const PackedBatch& batch, int64_t heads) {
  const int64_t tokens = qkv_T3H.size(0), hidden = qkv_T3H.size(1) / 3;
  const auto qkv_TND = qkv_T3H.view({tokens, 3, heads, hidden / heads}).unbind(1);
  const at::Tensor& lengths = batch.cumulative_lengths();
  const at::Tensor context_TND = std::get<0>(at::_flash_attention_forward(qkv_TND[0], qkv_TND[1], qkv_TND[2], lengths, lengths,
                                                                          batch.longest, batch.longest, 0.0, false, false));
  return context_TND.reshape({tokens, hidden});
}

// The kernel draws dropout from a generator of its own, which could not be replayed: with dropout the padded path is taken.
bool flash_fits(const ForwardPass& pass, const at::Tensor& qkv_T3H, int64_t heads) {
  const int64_t size = qkv_T3H.size(1) / 3 / heads;
  const bool narrow = qkv_T3H.scalar_type() == at::kBFloat16 || qkv_T3H.scalar_type() == at::kHalf;
  return narrow && size % 8 == 0 && size <= 256 && !(pass.dropout && pass.attention_dropout > 0) &&
         has_flash_attention(qkv_T3H.device());
}

}  // namespace

bool has_flash_attention(at::Device device) {
  if (!device.is_cuda()) return false;
  static std::mutex mutex;
  static std::map<int, bool> known;
  const std::lock_guard lock(mutex);
  const int index = device.has_index() ? device.index() : 0;
  const auto found = known.find(index);
  if (found != known.end()) return found->second;
  bool works = true;
  try {
    // Whether the kernel is compiled in and the device new enough (8.0) is asked of the kernel itself.
    const at::NoGradGuard no_grad;
    const at::Tensor x_TND = at::ones({8, 1, 8}, at::TensorOptions().device(device).dtype(at::kBFloat16));
    const at::Tensor lengths = at::arange(0, 9, 8, at::TensorOptions().dtype(at::kInt)).to(device);
    const at::Tensor y = std::get<0>(at::_flash_attention_forward(x_TND, x_TND, x_TND, lengths, lengths, 8, 8, 0.0, false, false));
    works = y.sum().item<float>() == 64;
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error&) {
    works = false;
  }
  known[index] = works;
  return works;
}

at::Tensor packed_attention(const ForwardPass& pass, const at::Tensor& qkv_T3H, const PackedBatch& batch, int64_t heads) {
  if (pass.kernels == Kernels::reference) return reference_attention(pass, qkv_T3H, batch, heads);
  if (!qkv_T3H.device().is_cpu() || pass.kernels == Kernels::portable)
    return flash_fits(pass, qkv_T3H, heads) ? flash_attention(qkv_T3H, batch, heads) : padded_attention(pass, qkv_T3H, batch, heads);
  if (pass.inference && qkv_T3H.scalar_type() != at::kDouble && attention_rows_fits(qkv_T3H.size(1) / 3 / heads))
    return attention_rows(qkv_T3H, batch.offsets, heads);
  const double dropout = pass.dropout ? pass.attention_dropout : 0;
  return attention_cpu(qkv_T3H, batch.offsets, heads, dropout, dropout > 0 ? pass.dropout->next_site() : PhiloxKey{});
}

}  // namespace strata
