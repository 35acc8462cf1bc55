#pragma once
// The sum of word, position and segment embeddings on the CPU. Its backward pass adds the touched rows to the word embeddings'
// gradient in place: the decoder is tied to them, and a dense gradient of V × H would cost three more passes over that matrix.
#include "core/batch.h"
#include "core/ops.h"

namespace strata {

// words: a leaf (V, H) whose gradient, when it requires one, is added to. Result (T, H) in the embeddings' type.
at::Tensor embedding_sum_cpu(const at::Tensor& words, const at::Tensor& positions, const at::Tensor& segments,
                             const at::Tensor& token_ids_T, const at::Tensor& position_ids_T, const at::Tensor& segment_ids_T);

}  // namespace strata
