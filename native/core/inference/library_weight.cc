// libtorch's own packed layers.
#include "core/inference/packed_weight.h"
#include "core/kernels/inference_kernels.h"
#include "core/library_operator.h"

namespace strata {
namespace {

// oneDNN's bf16 product from a weight in its blocked form, with GELU inside.
class OneDnnWeight final : public PackedWeight {
 public:
  OneDnnWeight(at::Tensor packed, LibraryOperator linear) : packed_(std::move(packed)), linear_(std::move(linear)) {}

  at::Tensor apply(const at::Tensor& x_TI, const at::Tensor& bias_O, bool gelu) const override {
    return onednn_linear(linear_, x_TI, packed_, bias_O, gelu);
  }
  int64_t bytes() const override { return packed_.numel() * 2; }

 private:
  at::Tensor packed_;
  LibraryOperator linear_;
};

// FBGEMM or oneDNN, as libtorch's engine chooses: activations per tensor.
class DynamicWeight final : public PackedWeight {
 public:
  DynamicWeight(c10::IValue packed, LibraryOperator linear, int64_t size)
      : packed_(std::move(packed)), linear_(std::move(linear)), size_(size) {}

  at::Tensor apply(const at::Tensor& x_TI, const at::Tensor& bias_O, bool gelu) const override {
    // Without VNNI pairs of products are added in 16 bits, which needs the eighth bit.
    at::Tensor y_TO = linear_({{"X", x_TI.contiguous()}, {"W_prepack", packed_}, {"reduce_range", !kernels::has_avx512_vnni()}}).toTensor();
    if (bias_O.defined()) y_TO.add_(bias_O);
    return gelu ? at::gelu(y_TO) : y_TO;
  }
  int64_t bytes() const override { return size_; }

 private:
  c10::IValue packed_;
  LibraryOperator linear_;
  int64_t size_;
};

}  // namespace

PackedWeightRef library_bf16_weight(const at::Tensor& weight_OI) {
  const LibraryOperator pack("mkldnn::_reorder_linear_weight");
  LibraryOperator linear("mkldnn::_linear_pointwise");
  if (!pack || !linear) return nullptr;
  try {
    const at::Tensor weight = weight_OI.detach().to(at::kBFloat16).contiguous();
    const at::Tensor packed = pack({{"self", weight}, {"weight", weight}, {"W", weight}}).toTensor();
    auto result = std::make_shared<OneDnnWeight>(packed, std::move(linear));
    result->apply(at::zeros({1, weight.size(1)}, weight.options()), {}, true);
    return result;
  } catch (const c10::Error&) {
    return nullptr;  // a processor or a build without it: the plain product is right everywhere
  }
}

PackedWeightRef library_int8_weight(const at::Tensor& weight_OI) {
  const LibraryOperator quantize("aten::quantize_per_channel"), pack("quantized::linear_prepack");
  LibraryOperator linear("quantized::linear_dynamic");
  if (!quantize || !pack || !linear) return nullptr;
  try {
    const at::Tensor weight = weight_OI.detach().to(at::kFloat).contiguous();
    const at::Tensor scales = (std::get<0>(weight.abs().max(1)) / 127).clamp_min(1e-30);
    const at::Tensor quantized = quantize({{"self", weight},
                                           {"scales", scales.to(at::kDouble)},
                                           {"zero_points", at::zeros({weight.size(0)}, at::kLong)},
                                           {"axis", int64_t{0}},
                                           {"dtype", at::kQInt8}})
                                     .toTensor();
    auto result = std::make_shared<DynamicWeight>(pack({{"W", quantized}}), std::move(linear), weight.numel());
    result->apply(at::zeros({1, weight.size(1)}, weight.options()), {}, false);
    return result;
  } catch (const c10::Error&) {
    return nullptr;
  }
}

}  // namespace strata
