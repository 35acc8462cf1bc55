#include "core/kernels/stream_norm_cpu.h"

#include "core/kernels/layer_norm_rows.h"
#include "core/kernels/row_chunks.h"

#include <torch/csrc/autograd/custom_function.h>

namespace strata {
namespace {

using kernels::Bf16;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsPerTask = 16;

const Bf16* narrow_rows(const at::Tensor& x) { return x.defined() ? static_cast<const Bf16*>(x.const_data_ptr()) : nullptr; }
const float* rows_of(const at::Tensor& x) { return x.defined() ? x.const_data_ptr<float>() : nullptr; }
template <typename Value>
Value* row(Value* rows, int64_t at) {
  return rows == nullptr ? nullptr : rows + at;
}

struct StreamNormNode : torch::autograd::Function<StreamNormNode> {
  static variable_list forward(AutogradContext* context, const at::Tensor& stream_in, const std::optional<at::Tensor>& delta_in,
                               const at::Tensor& gamma, const at::Tensor& beta, double epsilon) {
    const at::Tensor stream = stream_in.contiguous();
    const at::Tensor delta = delta_in ? delta_in->contiguous() : at::Tensor();
    const int64_t size = stream.size(1);
    const at::Tensor sum = delta.defined() ? at::empty_like(stream) : stream;
    const at::Tensor y = at::empty(stream.sizes(), stream.options().dtype(at::kBFloat16));
    const at::Tensor mean = at::empty({stream.size(0)}, stream.options()), rstd = at::empty_like(mean);
    const float *in = rows_of(stream), *scale = rows_of(gamma), *shift = rows_of(beta);
    const Bf16* other = narrow_rows(delta);
    float *sums = delta.defined() ? sum.mutable_data_ptr<float>() : nullptr, *means = mean.mutable_data_ptr<float>(),
          *inverses = rstd.mutable_data_ptr<float>();
    auto* out = static_cast<Bf16*>(y.mutable_data_ptr());
    parallel_for(stream.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        kernels::stream_norm_row(in + r * size, row(other, r * size), scale, shift, size, static_cast<float>(epsilon), row(sums, r * size),
                                 out + r * size, means + r, inverses + r);
    });
    context->set_materialize_grads(false);
    context->save_for_backward({sum, mean, rstd, gamma});
    context->saved_data["delta"] = delta.defined();
    return {delta.defined() ? sum : stream_in, y};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &sum = saved[0], &mean = saved[1], &rstd = saved[2], &gamma = saved[3];
    const int64_t size = sum.size(1);
    const at::Tensor dsum = gradients[0].defined() ? gradients[0].contiguous() : at::Tensor();
    const at::Tensor dy = gradients[1].defined() ? gradients[1].contiguous() : at::zeros(sum.sizes(), sum.options().dtype(at::kBFloat16));
    const at::Tensor dstream = at::empty_like(sum);
    const at::Tensor ddelta = context->saved_data["delta"].toBool() ? at::empty_like(dy) : at::Tensor();
    const at::Tensor dgamma = at::zeros({kChunks, size}, sum.options()), dbeta = at::zeros_like(dgamma);
    const Bf16* in = narrow_rows(dy);
    const float *beside = rows_of(dsum), *sums = rows_of(sum), *means = rows_of(mean), *inverses = rows_of(rstd), *scale = rows_of(gamma);
    float *out = dstream.mutable_data_ptr<float>(), *gammas = dgamma.mutable_data_ptr<float>(), *betas = dbeta.mutable_data_ptr<float>();
    auto* narrowed = ddelta.defined() ? static_cast<Bf16*>(ddelta.mutable_data_ptr()) : nullptr;
    each_chunk(sum.size(0), [&](int64_t chunk, int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        kernels::stream_norm_backward_row(in + r * size, row(beside, r * size), sums + r * size, means[r], inverses[r], scale, size, out + r * size,
                                          row(narrowed, r * size), gammas + chunk * size, betas + chunk * size);
    });
    return {dstream, ddelta, dgamma.sum(0), dbeta.sum(0), at::Tensor()};
  }
};

struct StreamSumNode : torch::autograd::Function<StreamSumNode> {
  static at::Tensor forward(AutogradContext*, const at::Tensor& stream_in, const at::Tensor& delta_in) {
    const at::Tensor stream = stream_in.contiguous(), delta = delta_in.contiguous();
    const int64_t size = stream.size(1);
    const at::Tensor sum = at::empty_like(stream);
    const float* in = rows_of(stream);
    const Bf16* other = narrow_rows(delta);
    float* out = sum.mutable_data_ptr<float>();
    parallel_for(stream.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) kernels::stream_sum_row(in + r * size, other + r * size, size, out + r * size);
    });
    return sum;
  }

  static variable_list backward(AutogradContext*, variable_list gradients) { return {gradients[0], gradients[0].to(at::kBFloat16)}; }
};

}  // namespace

StreamNorm stream_norm_cpu(const at::Tensor& stream_TH, const at::Tensor& delta_TH, const at::Tensor& gamma, const at::Tensor& beta, double epsilon) {
  const auto outputs =
      StreamNormNode::apply(stream_TH, delta_TH.defined() ? std::optional<at::Tensor>(delta_TH) : std::nullopt, gamma, beta, epsilon);
  return {outputs[0], outputs[1]};
}

at::Tensor stream_sum_cpu(const at::Tensor& stream_TH, const at::Tensor& delta_TH) { return StreamSumNode::apply(stream_TH, delta_TH); }

}  // namespace strata
