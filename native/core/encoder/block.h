#pragma once
// One post-LN block of BERT, its parts, and the places where an adapter may stand in it.
// Legend: T tokens, H hidden size, F intermediate size.
#include "core/batch.h"
#include "core/config.h"
#include "core/layers.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace strata {

// What an adapter, or who looks on, does to one block; an empty function is left out. h is the block's input, a the attention sublayer's output.
struct BlockHooks {
  // (T, 3H) added to query, key and value: from h.
  std::function<at::Tensor(const ForwardPass&, const at::Tensor& hidden_TH)> beside_qkv;
  // Is shown query, key and value (T, 3H) as attention takes them.
  std::function<void(const at::Tensor& qkv_T3H)> shown_qkv;
  // In place of the attention sublayer's projected (and dropped) output, before the residual.
  std::function<at::Tensor(const ForwardPass&, const at::Tensor& projected_TH)> projected;
  // (T, H) added before the last LayerNorm: from h and a.
  std::function<at::Tensor(const ForwardPass&, const PackedBatch&, const at::Tensor& hidden_TH, const at::Tensor& attended_TH)> beside;
  // In place of the block's own LayerNorms: the attention sublayer's and the feed-forward part's.
  std::optional<LayerNorm> attention_norm;
  std::optional<LayerNorm> inner_norm;
  // In place of the block's output, after the last LayerNorm.
  std::function<at::Tensor(const ForwardPass&, const at::Tensor& output_TH)> output;
};

// What an adapter does to an encoder.
struct EncoderHooks {
  std::vector<BlockHooks> blocks;  // by block; empty = none
  // In place of the embeddings' LayerNorm and, where the encoder has one, of that after the last block.
  std::optional<LayerNorm> embedding_norm;
  std::optional<LayerNorm> last_norm;
  // In place of the last block's output.
  std::function<at::Tensor(const ForwardPass&, const PackedBatch&, const at::Tensor& hidden_TH)> top;
};

// Multi-head attention without an output matrix; query, key and value are one matrix.
struct SelfAttention {
  ParameterRef qkv_weight;  // (3H, H): query, key, value
  ParameterRef qkv_bias;    // (3H), or null
  int64_t heads = 1;

  static SelfAttention create(ParameterStore& store, const std::string& name, int64_t size, int64_t heads, int64_t layer,
                              Biases biases = Biases::zeros);
  at::Tensor operator()(const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& hidden_TH,
                        const BlockHooks& hooks = {}) const;
};

// LN(h + Drop(W_o MHA(h)))
struct AttentionSublayer {
  SelfAttention self;
  Linear output;
  LayerNorm norm;

  static AttentionSublayer create(ParameterStore& store, const std::string& name, int64_t size, int64_t heads, double epsilon,
                                  int64_t layer);
  at::Tensor operator()(const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& hidden_TH,
                        const BlockHooks& hooks = {}) const;
};

struct Block {
  AttentionSublayer attention;
  Linear intermediate;
  Linear output;
  LayerNorm output_norm;
  std::string activation;

  static Block create(const EncoderConfig& config, ParameterStore& store, const std::string& name, int64_t layer);
  at::Tensor operator()(const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& hidden_TH,
                        const BlockHooks& hooks = {}) const;
};

}  // namespace strata
