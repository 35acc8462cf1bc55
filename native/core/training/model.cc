#include "core/training/model.h"

#include "core/error.h"
#include "core/inference/packed_weight.h"
#include "core/inference/pooling.h"
#include "core/memory/caching_allocator.h"
#include "core/storage/weight_image.h"

#include <algorithm>
#include <cmath>

namespace strata {
namespace {

const ModelConfig& checked(const ModelConfig& config) {
  const EncoderConfig& e = config.encoder;
  const std::pair<const char*, int64_t> sizes[] = {{"vocabSize", e.vocab_size},   {"layers", e.layers},
                                                   {"hiddenSize", e.hidden_size}, {"heads", e.heads},
                                                   {"intermediateSize", e.intermediate_size},
                                                   {"maxPositions", e.max_positions}, {"segmentTypes", e.segment_types}};
  for (const auto& [name, value] : sizes)
    if (value < 1 || value > INT32_MAX) fail("BAD_ARGUMENT", "encoder.", name, " is ", value, "; 1 to ", INT32_MAX, " was expected");
  constexpr int64_t kMostLayers = 4096;  // far above any encoder; a mistaken number would otherwise be built block by block
  if (e.layers > kMostLayers) fail("BAD_ARGUMENT", "encoder.layers is ", e.layers, "; 1 to ", kMostLayers, " was expected");
  if (e.hidden_size % e.heads != 0)
    fail("BAD_ARGUMENT", "encoder.hiddenSize ", e.hidden_size, " is no multiple of encoder.heads ", e.heads);
  const std::pair<const char*, double> rates[] = {{"hiddenDropout", e.hidden_dropout}, {"attentionDropout", e.attention_dropout}};
  for (const auto& [name, p] : rates)
    if (!(p >= 0 && p < 1)) fail("BAD_ARGUMENT", "encoder.", name, " is ", p, "; 0 ≤ p < 1 was expected");
  const std::pair<const char*, double> numbers[] = {{"layerNormEpsilon", e.layer_norm_epsilon},
                                                    {"initializerRange", e.initializer_range}};
  for (const auto& [name, value] : numbers)
    if (!(value >= 0 && std::isfinite(value)))
      fail("BAD_ARGUMENT", "encoder.", name, " is ", value, "; a finite number of at least 0 was expected");
  if (e.activation != "gelu" && e.activation != "gelu_tanh" && e.activation != "relu")
    fail("BAD_ARGUMENT", "encoder.activation is '", e.activation, "'; gelu, gelu_tanh or relu was expected");
  for (const HeadConfig& head : config.heads)
    if (!(head.weight >= 0 && std::isfinite(head.weight)))
      fail("BAD_ARGUMENT", "weight of head '", head.name, "' is ", head.weight, "; a finite number of at least 0 was expected");
  return config;
}

void count_hits(const at::Tensor& logits_NC, const std::vector<int64_t>& targets, bool columns_are_classes, HeadEvaluation& result) {
  constexpr int64_t kFewClasses = 16;
  const int64_t classes = logits_NC.size(1);
  const at::Tensor predictions = logits_NC.argmax(1).to(at::kCPU);
  const int64_t* predicted = predictions.const_data_ptr<int64_t>();
  const bool confusion = columns_are_classes && classes <= kFewClasses;
  if (confusion) result.confusion.assign(static_cast<size_t>(classes * classes), 0);
  for (size_t i = 0; i < targets.size(); ++i) {
    result.correct += predicted[i] == targets[i];
    if (confusion) result.confusion[static_cast<size_t>(targets[i] * classes + predicted[i])] += 1;
  }
}

}  // namespace

Model::Model(const ModelConfig& config, Precision precision, at::Device device, uint64_t seed, Kernels kernels, ModelUse use)
    : hidden_dropout(config.encoder.hidden_dropout),
      attention_dropout(config.encoder.attention_dropout),
      loss_scale(precision == Precision::fp16 ? 65536 : 1),
      config_(checked(config)),
      kernels_(kernels),
      store_(precision, device, seed, config.encoder.initializer_range, !use.inference, use.drawn),
      encoder_(config.encoder, store_),
      use_(use) {
  if (config_.agreements) agreements_ = std::make_unique<Agreements>(*config_.agreements, config_.encoder, store_);
  for (const AdapterConfig& adapter : config_.adapters) {
    if (adapters_.count(adapter.name))
      fail("BAD_ARGUMENT", "two adapters are named '", adapter.name, "'; names of their own were expected");
    adapters_[adapter.name] = make_adapter(adapter, {store_, config_.encoder});
  }
  for (const MixConfig& mix : config_.mixes) {
    if (mixes_.count(mix.name)) fail("BAD_ARGUMENT", "two mixes are named '", mix.name, "'; names of their own were expected");
    mixes_[mix.name] = ScalarMix::create(mix, store_, config_.encoder.layers);
  }
  // Heads that others read come first; losses keep the order of the configuration.
  std::vector<const HeadConfig*> order;
  for (const HeadConfig& head : config_.heads)
    if (!head.transfer) order.push_back(&head);
  for (const HeadConfig& head : config_.heads)
    if (head.transfer) order.push_back(&head);
  for (const HeadConfig* head : order) {
    if (heads_.count(head->name)) fail("BAD_ARGUMENT", "two heads are named '", head->name, "'; names of their own were expected");
    HeadConfig placed = *head;
    if (!placed.mix.empty()) {
      if (!mixes_.count(placed.mix))
        fail("BAD_ARGUMENT", "head '", placed.name, "' reads mix '", placed.mix, "'; the model has no mix of this name");
      placed.layer = config_.encoder.layers;
    }
    heads_[head->name] = make_head(placed, {store_, encoder_, agreements_.get(), heads_, shared_pooler_});
  }
  for (const HeadConfig& head : config_.heads) ordered_heads_.push_back(heads_[head.name]);
  if (!config_.pruning.empty() && use_.inference)
    fail("UNSUPPORTED", "a model for inference is not pruned any further; load it without `inference`");
  if (!config_.pruning.empty()) pruning_ = std::make_unique<Pruning>(config_.pruning, encoder_.linear_weights(), store_);
}

void Model::load(const std::string& path, const std::vector<std::pair<std::string, StoredTensor>>& by_parameter) {
  const at::NoGradGuard no_grad;
  std::map<Parameter*, std::vector<std::pair<const NamedPart*, StoredTensor>>> by_owner;
  for (const auto& [name, stored] : by_parameter) {
    const NamedPart& part = store_.part(name);
    ParameterStore::require_values(part);
    by_owner[part.owner.get()].emplace_back(&part, stored);
  }
  // Weights that are packed once and then dropped need not be shared.
  const auto& linear = encoder_.linear_weights();
  std::vector<ImageTensor> images;
  std::vector<Parameter*> shared;
  std::vector<StoredTensor> own;
  for (const ParameterRef& parameter : store_.all()) {
    const auto found = by_owner.find(parameter.get());
    if (found == by_owner.end()) continue;
    auto& parts = found->second;
    std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.first->row < b.first->row; });
    int64_t rows = 0;
    for (const auto& [part, stored] : parts) rows += part->rows == 0 ? parameter->master.size(0) : part->rows;
    const bool dropped = use_.int8 && std::find(linear.begin(), linear.end(), parameter) != linear.end();
    const bool whole = rows == parameter->master.size(0);
    if (use_.inference && whole && !dropped && parameter->master.is_cpu() && parameter->master.scalar_type() == at::kFloat) {
      ImageTensor image{parameter->master.sizes().vec(), {}};
      for (const auto& [part, stored] : parts) image.parts.push_back(stored);
      images.push_back(std::move(image));
      shared.push_back(parameter.get());
      continue;
    }
    for (const auto& [part, stored] : parts) {
      own.push_back(stored);
      own.back().target = part->of(parameter->master).detach();
    }
  }
  const std::vector<at::Tensor> views = load_image(path, images);
  for (size_t i = 0; i < shared.size(); ++i) {
    if (!views.empty()) {
      shared[i]->master = views[i];
      continue;
    }
    for (const auto& [part, stored] : by_owner[shared[i]]) {
      own.push_back(stored);
      own.back().target = part->of(shared[i]->master).detach();
    }
  }
  read_tensors(path, own);
  store_.mark_updated();
  if (!use_.inference) return;
  pack_weights();
  release_cached_memory();
}

void Model::pack_weights() const {
  if (!use_.inference || packed_version_ == store_.version()) return;
  const Precision precision = store_.precision();
  if (!store_.device().is_cpu() || (precision != Precision::fp32 && precision != Precision::bf16)) return;
  const Arithmetic arithmetic = use_.int8 ? Arithmetic::int8 : precision == Precision::bf16 ? Arithmetic::bf16 : Arithmetic::fp32;
  const at::NoGradGuard no_grad;
  for (const ParameterRef& weight : encoder_.linear_weights()) {
    if (weight->released) continue;
    weight->packed = pack_weight(arithmetic, kernels_, weight->value());
    if (!use_.int8) continue;
    // Its shape stays, its memory goes.
    weight->master = at::zeros({1}, weight->master.options()).expand(weight->master.sizes());
    weight->released = true;
  }
  packed_version_ = store_.version();  // last: what failed half-way is done again
}

const Head& Model::find_head(const std::string& name) const {
  const auto found = heads_.find(name);
  if (found == heads_.end()) {
    std::string known;
    for (const auto& head : ordered_heads_) known += (known.empty() ? "" : ", ") + head->config.name;
    fail("NOT_FOUND", "the model has no head named '", name, "'; it has ", known.empty() ? "none" : known);
  }
  return *found->second;
}

const EncoderHooks* Model::hooks_of(const HostBatch& batch) const {
  if (batch.adapter.empty()) return nullptr;
  const auto found = adapters_.find(batch.adapter);
  if (found == adapters_.end()) {
    std::string known;
    for (const AdapterConfig& adapter : config_.adapters) known += (known.empty() ? "" : ", ") + adapter.name;
    fail("NOT_FOUND", "the batch names the adapter '", batch.adapter, "'; the model has ", known.empty() ? "none" : known);
  }
  return &found->second;
}

void Model::check(const HostBatch& batch) const {
  check_batch(batch, config_.encoder);
  if (agreements_) check_chunks(batch);
}

std::vector<Model::ActiveHead> Model::active_heads(const HostBatch& batch) const {
  check(batch);
  for (const auto& [name, labels] : batch.labels) find_head(name);
  std::vector<ActiveHead> active;
  for (const auto& head : ordered_heads_) {
    const auto labels = batch.labels.find(head->config.name);
    if (labels == batch.labels.end()) continue;
    const int64_t count = head->check(batch, labels->second);
    if (count > 0) active.push_back({head.get(), &labels->second, count});
  }
  if (active.empty())
    fail("BAD_ARGUMENT", "the batch has no label for any head; labels of at least one head were expected");
  return active;
}

int64_t Model::highest_layer(const std::vector<ActiveHead>& active) {
  int64_t highest = -1;
  for (const auto& [head, labels, count] : active) highest = std::max(highest, head->highest_layer);
  return highest;
}

std::set<std::string> Model::relations_of(const std::vector<ActiveHead>& active) {
  std::set<std::string> relations;
  for (const auto& [head, labels, count] : active)
    if (!head->config.relation.empty()) relations.insert(head->config.relation);
  return relations;
}

Model::States Model::states(const ForwardPass& pass, const PackedBatch& batch, const HostBatch& host, int64_t highest,
                            const std::set<std::string>& relations) const {
  States result;
  at::Tensor beside_TH;
  if (agreements_) {
    result.agreements = agreements_->states(pass, batch, host, relations, highest >= 0);
    if (highest >= 0) beside_TH = agreements_->embedding(pass, result.agreements);
  }
  if (highest >= 0) result.hidden = encoder_.forward(pass, batch, highest, hooks_of(host), beside_TH);
  return result;
}

HeadInput Model::head_input(const ForwardPass& pass, const PackedBatch& batch, const States& states) const {
  return HeadInput(pass, batch, states.hidden, mixes_, agreements_ ? &states.agreements : nullptr);
}

std::vector<HeadLoss> Model::step(const HostBatch& host, const std::map<std::string, double>& divisors,
                                  DropoutState dropout_state) {
  if (use_.inference) fail("UNSUPPORTED", "the model was loaded for inference; load it without `inference` to train it");
  const auto active = active_heads(host);
  hooks_of(host);  // refuses an unknown adapter before anything is computed
  for (const auto& [name, divisor] : divisors) {
    find_head(name);
    if (!(divisor > 0 && std::isfinite(divisor)))
      fail("BAD_ARGUMENT", "lossDivisors.", name, " is ", divisor, "; a finite number above 0 was expected");
  }
  const at::AutoGradMode with_gradient(true);
  const PackedBatch batch(host, store_.device());
  DropoutPass dropout(dropout_state);
  if (pruning_) pruning_->mask_for_training(dropout_state);
  ForwardPass pass{compute_type(store_.precision()), kernels_, &dropout, hidden_dropout, attention_dropout};
  const States below = states(pass, batch, host, highest_layer(active), relations_of(active));
  const HeadInput input = head_input(pass, batch, below);
  std::vector<HeadLoss> losses;
  at::Tensor total;
  for (const auto& [head, labels, count] : active) {
    std::vector<int64_t> targets;
    const at::Tensor logits = head->logits(input, *labels, targets);
    const LossSum loss = head->loss_of(input, *labels, logits, targets);
    const auto divisor = divisors.find(head->config.name);
    const double factor = head->config.weight / (divisor == divisors.end() ? static_cast<double>(loss.count) : divisor->second);
    const at::Tensor weighted = loss.sum * factor;
    total = total.defined() ? total + weighted : weighted;
    losses.push_back({head->config.name, loss.sum.detach(), loss.count});
  }
  if (!total.requires_grad())
    fail("BAD_ARGUMENT", "every parameter that the labelled heads read is frozen; put one of them into a group of the optimizer");
  const at::Tensor penalty = pruning_ ? pruning_->penalty_due() : at::Tensor();
  if (penalty.defined()) total = total + penalty;
  if (loss_scale != 1) total = total * loss_scale;
  total.backward();
  return losses;
}

Pruning& Model::pruning() const {
  if (!pruning_) fail("BAD_ARGUMENT", "the model is not pruned; a configuration with pruning was expected");
  return *pruning_;
}

void Model::set_pruning(PruningState state) { pruning().set(std::move(state)); }

Pruning::Report Model::pruning_report() const { return pruning().report(); }

at::Tensor Model::effective(const NamedPart& part) const {
  if (pruning_) pruning_->mask_for_evaluation();
  return part.of(part.owner->value()).detach();
}

ForwardPass Model::evaluation_pass() const {
  if (pruning_) pruning_->mask_for_evaluation();
  ForwardPass pass;
  pass.type = compute_type(store_.precision());
  pass.kernels = kernels_;
  pass.inference = use_.inference;
  if (use_.inference) pack_weights();
  return pass;
}

std::vector<HeadEvaluation> Model::evaluate(const HostBatch& host) const {
  const auto active = active_heads(host);
  const at::NoGradGuard no_grad;
  const PackedBatch batch(host, store_.device());
  const ForwardPass pass = evaluation_pass();
  const States below = states(pass, batch, host, highest_layer(active), relations_of(active));
  const HeadInput input = head_input(pass, batch, below);
  std::vector<HeadEvaluation> results;
  for (const auto& [head, labels, count] : active) {
    std::vector<int64_t> targets;
    const at::Tensor logits = head->logits(input, *labels, targets);
    HeadEvaluation result;
    result.head = head->config.name;
    result.count = count;
    result.loss_sum = head->loss_of(input, *labels, logits, targets).sum.item<double>();
    if (head->chooses_class) count_hits(logits, targets, head->columns_are_classes, result);
    if (head->returns_scores) result.scores = (head->answers ? head->answers(input, *labels) : logits).to(at::kCPU).contiguous();
    results.push_back(std::move(result));
  }
  return results;
}

int64_t Model::check_layer(int64_t layer) const {
  if (layer < 0 || layer > config_.encoder.layers)
    fail("BAD_ARGUMENT", "layer is ", layer, "; 0 (embeddings) to ", config_.encoder.layers, " was expected");
  return layer;
}

std::vector<at::Tensor> Model::hidden_states(const HostBatch& host, const std::vector<int64_t>& layers) const {
  check(host);
  int64_t highest = 0;
  for (const int64_t layer : layers) highest = std::max(highest, check_layer(layer));
  const at::NoGradGuard no_grad;
  const PackedBatch batch(host, store_.device());
  const auto hidden = states(evaluation_pass(), batch, host, highest).hidden;
  std::vector<at::Tensor> results;
  for (const int64_t layer : layers)
    results.push_back(hidden[static_cast<size_t>(layer)].to(at::kCPU, master_type(store_.precision())).contiguous());
  return results;
}

AttentionStatistics Model::attention_statistics(const HostBatch& host, int64_t separator) const {
  check(host);
  const EncoderHooks* hooks = hooks_of(host);
  if (separator < -1 || separator >= config_.encoder.vocab_size)
    fail("BAD_ARGUMENT", "separator is ", separator, "; 0 to ", config_.encoder.vocab_size - 1, " was expected");
  const at::NoGradGuard no_grad;
  const PackedBatch batch(host, store_.device());
  const ForwardPass pass = evaluation_pass();
  const at::Tensor beside_TH =
      agreements_ ? agreements_->embedding(pass, agreements_->states(pass, batch, host, {}, true)) : at::Tensor();
  return strata::attention_statistics(encoder_, pass, batch, hooks, beside_TH, separator);
}

at::Tensor Model::embed(const HostBatch& host, int64_t layer, Pooling pooling, bool normalize) const {
  check(host);
  check_layer(layer);
  const at::NoGradGuard no_grad;
  const PackedBatch batch(host, store_.device());
  const ForwardPass pass = evaluation_pass();
  const at::Tensor hidden_TH = states(pass, batch, host, layer).hidden.back().to(master_type(store_.precision()));
  return pooled_states(pass, hidden_TH, batch.offsets, pooling, normalize);
}

at::Tensor Model::scores_of(const Head& head, const HeadInput& input, const HeadLabels& labels) {
  std::vector<int64_t> targets;
  return (head.answers ? head.answers(input, labels) : head.logits(input, labels, targets)).to(at::kCPU).contiguous();
}

at::Tensor Model::head_logits(const HostBatch& host, const std::string& name, std::optional<int64_t> layer) const {
  const Head& head = find_head(name);
  const auto labels = host.labels.find(name);
  if (labels == host.labels.end()) fail("BAD_ARGUMENT", "the batch has no labels for head '", name, "'; they say where to read");
  check(host);
  head.check(host, labels->second);
  const at::NoGradGuard no_grad;
  const PackedBatch batch(host, store_.device());
  const ForwardPass pass = evaluation_pass();
  States below = states(pass, batch, host, std::max(head.highest_layer, layer.value_or(-1)), relations_of({{&head, &labels->second, 0}}));
  if (layer) below.hidden[static_cast<size_t>(head.config.layer)] = below.hidden[static_cast<size_t>(*layer)];
  return scores_of(head, head_input(pass, batch, below), labels->second);
}

AgreementProbabilities Model::agreements(const HostBatch& host) const {
  if (!agreements_) fail("BAD_ARGUMENT", "the model has no agreements; a configuration with agreements was expected");
  check(host);
  const at::NoGradGuard no_grad;
  const PackedBatch batch(host, store_.device());
  return agreements_->probabilities(evaluation_pass(), batch, host);
}

HeadLabels Model::masked_labels(const MasksQuestion& asked) const {
  const HeadConfig& config = find_head(asked.head).config;
  if (config.kind != "masked-lm") fail("BAD_ARGUMENT", "head '", asked.head, "' is no masked-LM head; one was expected");
  if (asked.positions.empty()) fail("BAD_ARGUMENT", "positions is empty; at least one masked position was expected");
  if (asked.top < 1 || asked.top > config_.encoder.vocab_size)
    fail("BAD_ARGUMENT", "topK is ", asked.top, "; 1 to ", config_.encoder.vocab_size, " was expected");
  if (asked.layer) {
    check_layer(*asked.layer);
    if (!config.mix.empty())
      fail("BAD_ARGUMENT", "head '", asked.head, "' reads the mix '", config.mix, "', so no one layer can stand in for its own; leave layer out");
  }
  return {std::vector<int32_t>(asked.positions.size(), 0), asked.positions, {}, {}, {}, {}, {}, {}};
}

MaskedPrediction Model::most_probable(const at::Tensor& logits_MV, int64_t top) {
  const at::Tensor probabilities = at::softmax(logits_MV, -1);
  const auto [values, ids] = at::topk(probabilities, top, -1);
  return {ids.to(at::kInt).contiguous(), values.to(at::kFloat).contiguous()};
}

MaskedPrediction Model::predict_masked(const HostBatch& host, const std::string& name, const std::vector<int32_t>& positions,
                                       int64_t top, std::optional<int64_t> layer) const {
  HostBatch labelled = host;
  labelled.labels.clear();
  labelled.labels[name] = masked_labels({name, positions, top, layer});
  return most_probable(head_logits(labelled, name, layer), top);
}

}  // namespace strata
