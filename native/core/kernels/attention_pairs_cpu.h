#pragma once
// Packed attention of bf16 rows by pairs of bf16 (pair_product.h): weights are kept in bf16, query, key and value as they came. attention_cpu
// takes this way where it fits.
#include "core/kernels/attention_layout.h"

namespace strata {

// bf16, a processor with the instruction, heads of a multiple of 32 values, and where float32 products go through oneDNN (float_products.h): by
// default not on Intel's processors, where it has not been compared.
bool attention_pairs_fits(const at::Tensor& qkv_T3H, int64_t heads);

// As attention_cpu, with the same dropout.
at::Tensor attention_pairs_cpu(const at::Tensor& qkv_T3H, const AttentionCall& call);

}  // namespace strata
