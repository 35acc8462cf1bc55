#pragma once
#include <napi.h>

namespace strata::binding {

// floatProducts(): what computes this process's float32 products on the CPU, `mkl` or `onednn`.
Napi::Value float_products_name(const Napi::CallbackInfo& info);
// productRates(): { fp32, bf16 } in 10^9 operations a second of a linear layer on the CPU, measured now; some 20 ms.
Napi::Value product_rates(const Napi::CallbackInfo& info);
// compareFloatProducts(rows, inputs, outputs, strided): how far oneDNN's linear layer is from MKL's, { y, dx, dw, db } as ‖a − b‖ ÷ ‖b‖; null
// where libtorch has none of oneDNN. `strided`: input and gradient do not lie row by row. For tests.
Napi::Value compare_float_products(const Napi::CallbackInfo& info);

}  // namespace strata::binding
