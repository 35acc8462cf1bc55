#include "core/inference/packed_weight.h"

#include "core/error.h"
#include "core/float_products.h"
#include "core/inference/spread.h"
#include "core/kernels/inference_kernels.h"

#include <algorithm>

namespace strata {
namespace {

// Up to here our dot products beat the library's GEMM, which packs the weight at every call (docs/precisions.md).
constexpr int64_t kFewTokens = 20;

class FloatWeight final : public PackedWeight {
 public:
  explicit FloatWeight(const at::Tensor& weight_OI) : weight_(weight_OI.contiguous()) {}

  at::Tensor apply(const at::Tensor& x_TI, const at::Tensor& bias_O, bool gelu) const override {
    const int64_t tokens = x_TI.size(0), in = weight_.size(1), out = weight_.size(0);
    const float* bias = bias_O.defined() ? bias_O.const_data_ptr<float>() : nullptr;
    const kernels::GeluTable& table = kernels::gelu_table();
    if (tokens > kFewTokens) {
      if (!gelu) return float_product(x_TI, weight_, bias_O, float_products());
      at::Tensor y_TO = float_product(x_TI, weight_, {}, float_products());
      float* y = y_TO.mutable_data_ptr<float>();
      spread(tokens, tokens * out * 16, [&](int64_t begin, int64_t end) {
        kernels::gelu_rows(y + begin * out, bias, end - begin, out, table);
      });
      return y_TO;
    }
    const at::Tensor x = x_TI.contiguous();
    at::Tensor y_TO = at::empty({tokens, out}, x.options());
    const float *values = x.const_data_ptr<float>(), *weight = weight_.const_data_ptr<float>();
    float* y = y_TO.mutable_data_ptr<float>();
    constexpr int64_t kColumns = 32;
    spread((out + kColumns - 1) / kColumns, tokens * in * out, [&](int64_t begin, int64_t end) {
      kernels::dot_columns(values, tokens, in, weight, begin * kColumns, std::min(out, end * kColumns), bias, gelu ? &table : nullptr, y,
                           out);
    });
    return y_TO;
  }

  int64_t bytes() const override { return 0; }

 private:
  at::Tensor weight_;
};

}  // namespace

PackedWeightRef float_weight(const at::Tensor& weight_OI) { return std::make_shared<FloatWeight>(weight_OI); }

PackedWeightRef pack_weight(Arithmetic arithmetic, Kernels kernels, const at::Tensor& weight_OI) {
  switch (arithmetic) {
    case Arithmetic::fp32: return kernels == Kernels::fast && kernels::has_avx512() ? float_weight(weight_OI) : nullptr;
    case Arithmetic::bf16: return kernels == Kernels::fast ? library_bf16_weight(weight_OI) : nullptr;
    case Arithmetic::int8: break;
  }
  if (kernels == Kernels::reference) return int8_reference(weight_OI);
  if (kernels == Kernels::fast && kernels::has_avx512_vnni() && weight_OI.size(1) <= kMostInt8Inputs) return int8_weight(weight_OI);
  PackedWeightRef packed = library_int8_weight(weight_OI);
  if (!packed)
    fail("UNSUPPORTED", "precision int8 needs a processor with AVX-512 VNNI or a libtorch with quantized::linear_dynamic; choose fp32 here");
  return packed;
}

}  // namespace strata
