#include "core/agreements/agreements.h"

#include "core/error.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

namespace strata {
namespace {

const AgreementConfig& checked(const AgreementConfig& config) {
  constexpr int64_t kMostLayers = 4096;
  const std::pair<const char*, int64_t> numbers[] = {
      {"size", config.size}, {"layers", config.layers}, {"heads", config.heads}, {"intermediateSize", config.intermediate_size}};
  for (const auto& [name, value] : numbers)
    if (value < 1 || value > INT32_MAX) fail("BAD_ARGUMENT", "agreements.", name, " is ", value, "; 1 to ", INT32_MAX, " was expected");
  if (config.layers > kMostLayers) fail("BAD_ARGUMENT", "agreements.layers is ", config.layers, "; 1 to ", kMostLayers, " was expected");
  if (config.size % config.heads != 0)
    fail("BAD_ARGUMENT", "agreements.size ", config.size, " is no multiple of agreements.heads ", config.heads);
  if (config.intermediate_size % 2 != 0)
    fail("BAD_ARGUMENT", "agreements.intermediateSize is ", config.intermediate_size, "; an even number was expected: half of it are gates");
  if (!std::isfinite(config.gate_init)) fail("BAD_ARGUMENT", "agreements.gateInit is ", config.gate_init, "; a finite number was expected");
  if (config.relations.empty()) fail("BAD_ARGUMENT", "agreements.relations is empty; at least one relation was expected");
  std::set<std::string> known;
  for (const std::string& name : config.relations) {
    const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
    if (!plain || name == "gates")
      fail("BAD_ARGUMENT", "agreements.relations names '", name, "'; letters, digits, _ and - were expected, and not 'gates'");
    if (!known.insert(name).second) fail("BAD_ARGUMENT", "agreements.relations names '", name, "' twice; names of their own were expected");
  }
  for (const std::string& name : config.off)
    if (!known.count(name)) fail("BAD_ARGUMENT", "agreements.off names '", name, "', which agreements.relations does not");
  return config;
}

EncoderConfig submodel_shape(const AgreementConfig& config, EncoderConfig encoder) {
  encoder.kind = "crammed";
  encoder.hidden_size = config.size;
  encoder.layers = config.layers;
  encoder.heads = config.heads;
  encoder.intermediate_size = config.intermediate_size;
  return encoder;
}

CrammedNames submodel_names(const std::string& name) {
  return {name + ".words", name + ".position_scale", name + ".LayerNorm", name + ".layer.", name + ".last.LayerNorm", false};
}

// Rows of a matrix by index, whose gradient is one pass over the rows (that of index_select adds row by row on the CPU).
at::Tensor rows_of(const at::Tensor& matrix, const at::Tensor& index) { return at::embedding(matrix, index); }

// P over the candidates and none: (S, K, K + 1).
at::Tensor probabilities_of(const at::Tensor& scores_SKK) {
  return at::softmax(at::cat({scores_SKK, at::zeros({scores_SKK.size(0), scores_SKK.size(1), 1}, scores_SKK.options())}, 2), 2);
}

// sum_b P(b|a) c_b for every chunk a, (C, D).
at::Tensor expected_states(const RelationStates& relation, const ChunkLayout& layout) {
  std::vector<at::Tensor> rows;
  for (size_t g = 0; g < layout.groups.size(); ++g) {
    const at::Tensor weights_SKK = probabilities_of(relation.scores[g]).narrow(2, 0, layout.groups[g].longest);
    rows.push_back(at::bmm(weights_SKK, relation.states[g]).view({-1, relation.chunks_CD.size(1)}));
  }
  return rows_of(at::cat(rows), layout.place_of_C);
}

}  // namespace

Agreements::Agreements(const AgreementConfig& config, const EncoderConfig& encoder, ParameterStore& store) : config_(checked(config)) {
  const EncoderConfig shape = submodel_shape(config_, encoder);
  for (const std::string& relation : config_.relations) {
    const std::string name = "agreements." + relation;
    Encoder submodel(shape, crammed_parts(shape, store, submodel_names(name)));
    submodels_.emplace(relation, Submodel{std::move(submodel),
                                          store.create(name + ".bilinear", {config_.size, config_.size}, Init::zeros, true, 0),
                                          store.create(name + ".linear", {2 * config_.size}, Init::zeros, true, 0),
                                          store.create(name + ".projection", {encoder.hidden_size, 2 * config_.size}, Init::normal, true, 0)});
    if (std::find(config_.off.begin(), config_.off.end(), relation) == config_.off.end()) merged_.push_back(relation);
  }
  gates_ = store.create("agreements.gates", {static_cast<int64_t>(config_.relations.size())}, Init::ones, false, 0);
  const at::NoGradGuard no_grad;
  gates_->master.fill_(config_.gate_init);
}

RelationStates Agreements::run(const Submodel& submodel, const ForwardPass& pass, const PackedBatch& batch, const ChunkLayout& layout) const {
  const int64_t size = config_.size;
  const at::Tensor states_TD = submodel.encoder.forward(pass, batch, config_.layers).back().to(submodel.bilinear->master.scalar_type());
  RelationStates result;
  result.chunks_CD = chunk_means(states_TD, layout, pass.kernels == Kernels::fast);
  const at::Tensor own_D = submodel.linear->master.narrow(0, 0, size), other_D = submodel.linear->master.narrow(0, size, size);
  const at::Tensor query_CD = at::addmm(other_D, result.chunks_CD, submodel.bilinear->master);
  const at::Tensor bias_C1 = at::matmul(result.chunks_CD, own_D).unsqueeze(1);
  for (const ChunkGroup& group : layout.groups) {
    const auto padded = [&](const at::Tensor& matrix) {
      return rows_of(matrix, group.chunk_of_P).view({group.sentences, group.longest, matrix.size(1)});
    };
    const at::Tensor states_SKD = padded(result.chunks_CD);
    const at::Tensor scores_SKK = at::bmm(padded(query_CD), states_SKD.transpose(1, 2)) + padded(bias_C1);
    result.scores.push_back(scores_SKK + group.mask_SKK.to(scores_SKK.scalar_type()));
    result.states.push_back(states_SKD);
  }
  return result;
}

AgreementStates Agreements::states(const ForwardPass& pass, const PackedBatch& batch, const HostBatch& host,
                                   const std::set<std::string>& wanted, bool for_encoder) const {
  AgreementStates result{std::make_shared<ChunkLayout>(*host.chunks, batch), {}};
  if (result.layout->count == 0) return result;
  for (const auto& [relation, submodel] : submodels_) {
    const bool merged = for_encoder && std::find(merged_.begin(), merged_.end(), relation) != merged_.end();
    if (wanted.count(relation) || (merged && config_.train)) {
      result.relations.emplace(relation, run(submodel, pass, batch, *result.layout));
    } else if (merged) {
      const at::NoGradGuard no_grad;
      ForwardPass still = pass;
      still.dropout = nullptr;
      result.relations.emplace(relation, run(submodel, still, batch, *result.layout));
    }
  }
  return result;
}

at::Tensor Agreements::embedding(const ForwardPass& pass, const AgreementStates& states) const {
  if (merged_.empty() || states.layout->count == 0) return {};
  const at::Tensor gates_R = config_.fixed_gates ? gates_->master.detach() : gates_->master;
  std::vector<at::Tensor> embeddings, projections;
  for (const std::string& relation : merged_) {
    RelationStates own = states.relations.at(relation);
    {
      // A submodel that its own head trains in the same pass is still closed to the encoder's heads.
      const at::AutoGradMode with_gradient(at::GradMode::is_enabled() && config_.train);
      embeddings.push_back(own.chunks_CD);
      embeddings.push_back(expected_states(own, *states.layout));
    }
    if (!config_.train) {
      for (size_t i = embeddings.size() - 2; i < embeddings.size(); ++i) embeddings[i] = embeddings[i].detach();
    }
    const auto index = std::find(config_.relations.begin(), config_.relations.end(), relation) - config_.relations.begin();
    projections.push_back(submodels_.at(relation).projection->master * gates_R.select(0, index));
  }
  // One product for all relations; the gate scales the projection, whose gradient gives the gate's.
  const at::Tensor embeddings_CE = at::cat(embeddings, 1).to(pass.type), projection_HE = at::cat(projections, 1);
  const at::Tensor merged_CH = at::linear(embeddings_CE, projection_HE.to(pass.type)).to(projection_HE.scalar_type());
  const at::Tensor nothing_1H = at::zeros({1, merged_CH.size(1)}, merged_CH.options());
  return rows_of(at::cat({merged_CH, nothing_1H}), states.layout->chunk_of_T);
}

at::Tensor agreement_scores(const AgreementStates& states, const std::string& relation, const at::Tensor& chunks_N) {
  const ChunkLayout& layout = *states.layout;
  std::vector<at::Tensor> rows;
  for (const at::Tensor& scores_SKK : states.relations.at(relation).scores) {
    const int64_t width = scores_SKK.size(2);
    const at::Tensor rows_PK = scores_SKK.view({-1, width});
    rows.push_back(width == layout.longest
                       ? rows_PK
                       : at::constant_pad_nd(rows_PK, {0, layout.longest - width}, -std::numeric_limits<double>::infinity()));
  }
  const at::Tensor scores_NK = rows_of(at::cat(rows), layout.place_of_C.index_select(0, chunks_N));
  return at::cat({scores_NK, at::zeros({scores_NK.size(0), 1}, scores_NK.options())}, 1);
}

AgreementProbabilities Agreements::probabilities(const ForwardPass& pass, const PackedBatch& batch, const HostBatch& host) const {
  const AgreementStates all = states(pass, batch, host, {config_.relations.begin(), config_.relations.end()}, false);
  const ChunkLayout& layout = *all.layout;
  AgreementProbabilities result;
  result.offsets.push_back(0);
  std::vector<int64_t> bases{0}, places;
  for (const ChunkGroup& group : layout.groups) bases.push_back(bases.back() + group.sentences * group.longest * (group.longest + 1));
  for (int64_t chunk = 0; chunk < layout.count; ++chunk) {
    const auto c = static_cast<size_t>(chunk), g = static_cast<size_t>(layout.group_of_C[c]);
    const int64_t width = layout.groups[g].longest + 1, row = bases[g] + layout.place_in_group[c] * width;
    const int64_t candidates = layout.bounds.end[c] - layout.bounds.begin[c];
    for (int64_t j = 0; j < candidates; ++j) places.push_back(row + j);
    places.push_back(row + width - 1);
    result.offsets.push_back(static_cast<int32_t>(places.size()));
  }
  for (const std::string& relation : config_.relations) {
    std::vector<at::Tensor> flat{at::empty({0}, gates_->master.options())};
    if (layout.count > 0)
      for (const at::Tensor& scores_SKK : all.relations.at(relation).scores) flat.push_back(probabilities_of(scores_SKK).reshape(-1));
    result.values[relation] = at::cat(flat).index_select(0, batch.index(places)).to(at::kCPU, at::kFloat).contiguous();
  }
  return result;
}

}  // namespace strata
