#pragma once
// The residual stream of a pre-LN encoder on the CPU, kept in float between layers that compute in bf16: what joins it and the LayerNorm that
// reads it are one autograd node, so that neither pass goes over the stream twice.
#include "core/ops.h"

namespace strata {

struct StreamNorm {
  at::Tensor sum_TH;     // float: stream + delta
  at::Tensor normed_TH;  // bf16: LN(sum)
};

// stream: (T, H) in float; delta: (T, H) in bf16, or undefined; gamma and beta: (H) in float.
StreamNorm stream_norm_cpu(const at::Tensor& stream_TH, const at::Tensor& delta_TH, const at::Tensor& gamma, const at::Tensor& beta, double epsilon);

// stream + delta, as above without a LayerNorm.
at::Tensor stream_sum_cpu(const at::Tensor& stream_TH, const at::Tensor& delta_TH);

}  // namespace strata
