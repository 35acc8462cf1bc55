// The encoder of Crammed BERT (Geiping & Goldstein 2022, arXiv 2212.14034, section 4.2; their code, MIT licence: crammed_bert.py).
// Pre-LN blocks with a gated feed-forward part that is not enlarged, no biases but the LayerNorms', sinusoidal positions times one
// learned scalar, a LayerNorm after the embeddings and one at the end, no segment embeddings.
// Deliberate differences: sequences are packed and see only themselves; segment ids are taken and not read, so that pairs need no
// batch of their own; names are BERT's where a part does the same; there is no padding row to start at zero; the residual stream
// stays in the master type; states below the top are handed to heads as they flow, without the last LayerNorm.
// Legend: T tokens, H hidden size, F gated size, P positions.
#include "core/encoder/encoder.h"
#include "core/error.h"
#include "core/kernels/embedding_cpu.h"
#include "core/kernels/gated_cpu.h"

#include <cmath>

namespace strata {
namespace {

// sin and cos of position / 10000^(2i / H) in turn (Vaswani et al. 2017, section 3.5): (P, H).
at::Tensor sinusoids(int64_t positions, int64_t size, const at::TensorOptions& options) {
  at::Tensor table = at::empty({positions, size}, at::kDouble);
  auto values = table.accessor<double, 2>();
  for (int64_t i = 0; i < size; ++i) {
    const double frequency = std::exp(-std::log(10000.0) * static_cast<double>(i - i % 2) / static_cast<double>(size));
    for (int64_t p = 0; p < positions; ++p) {
      const double angle = static_cast<double>(p) * frequency;
      values[p][i] = i % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
  }
  return table.to(options);
}

struct Embeddings {
  ParameterRef words;   // (V, H)
  ParameterRef scale;   // (1)
  at::Tensor table_PH;  // sinusoids
  at::Tensor none_GH;   // zeros in the place of segment embeddings
  LayerNorm norm;

  at::Tensor operator()(const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& beside_TH, const LayerNorm* own) const {
    const ForwardPass exact = in_master_type(pass);
    const at::Tensor sum_TH = sum(pass, batch);
    return (own ? *own : norm)(exact, pass.drop_hidden(beside_TH.defined() ? sum_TH + beside_TH : sum_TH));
  }

  at::Tensor sum(const ForwardPass& pass, const PackedBatch& batch) const {
    const at::Tensor positions_PH = table_PH * scale->master;
    if (pass.kernels == Kernels::fast && batch.device.is_cpu())
      return embedding_sum_cpu(words->master, positions_PH, none_GH, batch.token_ids_T, batch.position_ids_T, batch.segment_ids_T);
    return at::embedding(words->master, batch.token_ids_T) + at::embedding(positions_PH, batch.position_ids_T);
  }

  ForwardPass in_master_type(const ForwardPass& pass) const {
    ForwardPass exact = pass;
    exact.type = words->master.scalar_type();
    return exact;
  }
};

// h + Drop(W_o MHA(LN h)), then + Drop(W_out (GELU(gate) x)) with (x, gate) = W_in LN(.)
struct CrammedBlock {
  LayerNorm attention_norm;
  SelfAttention self;
  Linear projection;
  LayerNorm inner_norm;
  Linear inner;   // (F, H): values, gates
  Linear output;  // (H, F / 2)
  std::string activation;

  static CrammedBlock create(const EncoderConfig& config, ParameterStore& store, const std::string& name, int64_t layer) {
    const int64_t size = config.hidden_size, gated = config.intermediate_size;
    CrammedBlock block;
    block.attention_norm = LayerNorm::create(store, name + ".attention.LayerNorm", size, config.layer_norm_epsilon, layer);
    block.self = SelfAttention::create(store, name + ".attention.self", size, config.heads, layer, Biases::none);
    block.projection = Linear::create(store, name + ".attention.output.dense", size, size, layer, Biases::none);
    block.inner_norm = LayerNorm::create(store, name + ".intermediate.LayerNorm", size, config.layer_norm_epsilon, layer);
    block.inner = Linear::create(store, name + ".intermediate.dense", size, gated, layer, Biases::none);
    block.output = Linear::create(store, name + ".output.dense", gated / 2, size, layer, Biases::none);
    block.activation = config.activation;
    return block;
  }

  at::Tensor operator()(const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& stream_TH, const BlockHooks& hooks) const {
    const auto [carried_TH, hidden_TH] = step_stream(pass, stream_TH, {}, hooks.attention_norm ? *hooks.attention_norm : attention_norm);
    at::Tensor projected_TH = pass.drop_hidden(projection(pass, self(pass, batch, hidden_TH, hooks)));
    if (hooks.projected) projected_TH = hooks.projected(pass, projected_TH);
    const auto [attended_TH, normed_TH] = step_stream(pass, carried_TH, projected_TH, hooks.inner_norm ? *hooks.inner_norm : inner_norm);
    at::Tensor inner_TH = pass.drop_hidden(output(pass, gate(pass, inner(pass, normed_TH))));
    // What stands before the last LayerNorm in BERT joins the stream here: there is no closing one (our choice).
    if (hooks.beside) inner_TH = inner_TH + hooks.beside(pass, batch, hidden_TH, normed_TH);
    const at::Tensor output_TH = join_stream(pass, attended_TH, inner_TH);
    return hooks.output ? hooks.output(pass, output_TH.to(pass.type)).to(output_TH.scalar_type()) : output_TH;
  }

  at::Tensor gate(const ForwardPass& pass, const at::Tensor& inner_TF) const {
    const bool has_kernel = inner_TF.scalar_type() == at::kFloat || inner_TF.scalar_type() == at::kBFloat16;
    if (pass.kernels == Kernels::fast && inner_TF.device().is_cpu() && activation == "gelu" && has_kernel)
      return gated_gelu_cpu(inner_TF);
    const auto halves = inner_TF.chunk(2, 1);
    return activate(activation, halves[1]) * halves[0];
  }
};

void add(EncoderParts& parts, const CrammedBlock& block) {
  for (const ParameterRef& weight : {block.self.qkv_weight, block.projection.weight, block.inner.weight, block.output.weight})
    parts.linear_weights.push_back(weight);
  parts.blocks.emplace_back(block);
}

}  // namespace

EncoderParts crammed_parts(const EncoderConfig& config, ParameterStore& store, const CrammedNames& names) {
  if (config.intermediate_size % 2 != 0)
    fail("BAD_ARGUMENT", "encoder.intermediateSize is ", config.intermediate_size, "; an even number was expected: half of it are gates");
  const auto layer = [&](int64_t number) { return names.is_the_encoder ? number : 0; };
  Embeddings embeddings;
  embeddings.words = store.create(names.words, {config.vocab_size, config.hidden_size}, Init::normal, true, 0);
  embeddings.scale = store.create(names.position_scale, {1}, Init::ones, true, 0);
  const at::TensorOptions options = embeddings.words->master.options().requires_grad(false);
  {
    const at::NoGradGuard no_grad;
    embeddings.scale->master.fill_(1 / std::sqrt(static_cast<double>(config.hidden_size)));
    embeddings.table_PH = sinusoids(config.max_positions, config.hidden_size, options);
    embeddings.none_GH = at::zeros({config.segment_types, config.hidden_size}, options);
  }
  embeddings.norm = LayerNorm::create(store, names.embedding_norm, config.hidden_size, config.layer_norm_epsilon, 0);
  EncoderParts parts;
  parts.words = embeddings.words;
  parts.embed = embeddings;
  for (int64_t index = 0; index < config.layers; ++index)
    add(parts, CrammedBlock::create(config, store, names.block + std::to_string(index), layer(index + 1)));
  parts.last_norm =
      LayerNorm::create(store, names.last_norm, config.hidden_size, config.layer_norm_epsilon, layer(config.layers));
  return parts;
}

}  // namespace strata
