// BERT (Devlin et al. 2018, arXiv 1810.04805), post-LN, as in transformers' BertModel without its pooler.
// Deliberate differences: sequences are packed instead of padded; query, key and value are one matrix; it stops at the highest
// layer that is asked for. Legend: T tokens, H hidden size, P positions, G segment types.
#include "core/encoder/encoder.h"
#include "core/kernels/embedding_cpu.h"

namespace strata {
namespace {

struct Embeddings {
  ParameterRef words;      // (V, H)
  ParameterRef positions;  // (P, H)
  ParameterRef segments;   // (G, H)
  LayerNorm norm;

  at::Tensor operator()(const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& beside_TH, const LayerNorm* own) const {
    return pass.drop_hidden((own ? *own : norm)(pass, sum(pass, batch), beside_TH));
  }

  at::Tensor sum(const ForwardPass& pass, const PackedBatch& batch) const {
    if (pass.kernels == Kernels::fast && batch.device.is_cpu())
      return embedding_sum_cpu(words->master, positions->master, segments->master, batch.token_ids_T, batch.position_ids_T,
                               batch.segment_ids_T);
    return at::embedding(words->master, batch.token_ids_T) + at::embedding(positions->master, batch.position_ids_T) +
           at::embedding(segments->master, batch.segment_ids_T);
  }
};

void add(EncoderParts& parts, const Block& block) {
  for (const ParameterRef& weight :
       {block.attention.self.qkv_weight, block.attention.output.weight, block.intermediate.weight, block.output.weight})
    parts.linear_weights.push_back(weight);
  parts.blocks.emplace_back(block);
}

}  // namespace

EncoderParts bert_parts(const EncoderConfig& config, ParameterStore& store) {
  const std::string name = "bert.embeddings.";
  Embeddings embeddings;
  embeddings.words = store.create(name + "word_embeddings.weight", {config.vocab_size, config.hidden_size}, Init::normal, true, 0);
  embeddings.positions =
      store.create(name + "position_embeddings.weight", {config.max_positions, config.hidden_size}, Init::normal, true, 0);
  embeddings.segments =
      store.create(name + "token_type_embeddings.weight", {config.segment_types, config.hidden_size}, Init::normal, true, 0);
  embeddings.norm = LayerNorm::create(store, name + "LayerNorm", config.hidden_size, config.layer_norm_epsilon, 0);
  EncoderParts parts;
  parts.words = embeddings.words;
  parts.embed = embeddings;
  for (int64_t index = 0; index < config.layers; ++index)
    add(parts, Block::create(config, store, "bert.encoder.layer." + std::to_string(index), index + 1));
  return parts;
}

}  // namespace strata
