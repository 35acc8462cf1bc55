#pragma once
// Packed attention on the CPU. bf16 may go by pairs (attention_pairs_cpu.h); all else: sequences in parallel, the heads of one sequence as one batched product on strided views, so
// that nothing is padded and query, key and value are never copied apart.
#include "core/ops.h"
#include "core/philox.h"

#include <vector>

namespace strata {

// qkv_T3H -> (T, H). dropout is the probability of dropping an attention weight; its mask follows from `site`.
at::Tensor attention_cpu(const at::Tensor& qkv_T3H, const std::vector<int64_t>& offsets, int64_t heads, double dropout,
                         PhiloxKey site);

}  // namespace strata
