#pragma once
// Scaled dot-product attention over packed sequences: no sequence sees another, and there is no padding.
// Legend: T tokens, H hidden size, N heads, D = H / N.
#include "core/batch.h"
#include "core/layers.h"

namespace strata {

// qkv_T3H holds query, key and value beside each other; the result has shape (T, H).
at::Tensor packed_attention(const ForwardPass& pass, const at::Tensor& qkv_T3H, const PackedBatch& batch, int64_t heads);

// Whether libtorch's flash kernel works on this device. Asked once a device and process.
bool has_flash_attention(at::Device device);

}  // namespace strata
