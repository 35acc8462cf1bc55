#include "core/encoder/encoder.h"

#include "core/error.h"

namespace strata {
namespace {

EncoderParts parts_of(const EncoderConfig& config, ParameterStore& store) {
  if (config.kind == "bert") return bert_parts(config, store);
  if (config.kind == "crammed") return crammed_parts(config, store);
  fail("UNSUPPORTED", "encoder.kind is '", config.kind, "'; bert or crammed was expected");
}

}  // namespace

Encoder::Encoder(const EncoderConfig& config, ParameterStore& store) : Encoder(config, parts_of(config, store)) {}

Encoder::Encoder(const EncoderConfig& config, EncoderParts parts) : config_(config), parts_(std::move(parts)) {}

std::vector<at::Tensor> Encoder::forward(const ForwardPass& pass, const PackedBatch& batch, int64_t highest, const EncoderHooks* hooks,
                                         const at::Tensor& beside_TH) const {
  static const BlockHooks kNone;
  const bool inside = hooks && !hooks->blocks.empty();
  at::Tensor stream_TH = parts_.embed(pass, batch, beside_TH, hooks && hooks->embedding_norm ? &*hooks->embedding_norm : nullptr);
  std::vector<at::Tensor> hidden{stream_TH.to(pass.type)};
  for (int64_t index = 0; index < highest; ++index) {
    const auto i = static_cast<size_t>(index);
    stream_TH = parts_.blocks[i](pass, batch, stream_TH, inside ? hooks->blocks[i] : kNone);
    if (parts_.last_norm && index + 1 == config_.layers)
      stream_TH = (hooks && hooks->last_norm ? *hooks->last_norm : *parts_.last_norm)(pass, stream_TH);
    hidden.push_back(stream_TH.to(pass.type));
  }
  if (hooks && hooks->top && highest == config_.layers) hidden.back() = hooks->top(pass, batch, hidden.back());
  return hidden;
}

}  // namespace strata
