#pragma once
// An adapter is a task's own modules inside the shared blocks. Each kind has one file; registry.cc maps a kind's name to its factory.
// Legend: T tokens, H hidden size, S inner size.
#include "core/config.h"
#include "core/encoder/block.h"
#include "core/layers.h"

namespace strata {

struct AdapterParts {
  ParameterStore& store;
  const EncoderConfig& encoder;

  std::string layer_name(const AdapterConfig& config, int64_t index) const {
    return "adapters." + config.name + ".layer." + std::to_string(index);
  }
};

EncoderHooks make_pal(const AdapterConfig& config, const AdapterParts& parts);
EncoderHooks make_low_rank(const AdapterConfig& config, const AdapterParts& parts);
EncoderHooks make_houlsby(const AdapterConfig& config, const AdapterParts& parts);
EncoderHooks make_lhuc(const AdapterConfig& config, const AdapterParts& parts);
EncoderHooks make_top_attention(const AdapterConfig& config, const AdapterParts& parts);
EncoderHooks make_top_layer(const AdapterConfig& config, const AdapterParts& parts);
EncoderHooks make_lora(const AdapterConfig& config, const AdapterParts& parts);

// By config.kind. Throws UNSUPPORTED for an unknown kind, BAD_ARGUMENT for a number that does not fit or that the kind does not have.
EncoderHooks make_adapter(const AdapterConfig& config, const AdapterParts& parts);

// The whole number that a field gives, or its default when it is 0 (not given). Throws BAD_ARGUMENT below 1.
int64_t adapter_number(const AdapterConfig& config, const char* field, int64_t value, int64_t fallback);
// Throws BAD_ARGUMENT unless `heads` divides `size`.
int64_t adapter_heads(const AdapterConfig& config, int64_t size, int64_t fallback);

// V^D GELU(V^E x): to `size` and back.
struct LowRank {
  Linear encoder;
  Linear decoder;

  static LowRank create(ParameterStore& store, const std::string& name, int64_t hidden, int64_t size, int64_t layer);
  at::Tensor operator()(const ForwardPass& pass, const at::Tensor& x_TH) const;
};

}  // namespace strata
