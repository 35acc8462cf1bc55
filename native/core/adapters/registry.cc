#include "core/adapters/adapter.h"
#include "core/error.h"

#include <cmath>
#include <cstring>
#include <map>
#include <set>

namespace strata {
namespace {

struct Kind {
  EncoderHooks (*make)(const AdapterConfig&, const AdapterParts&);
  std::set<std::string> fields;  // beside name and kind
};

const std::map<std::string, Kind>& kinds() {
  static const std::map<std::string, Kind> known{
      {"pal", {make_pal, {"size", "heads"}}},
      {"low-rank", {make_low_rank, {"size"}}},
      {"houlsby", {make_houlsby, {"size"}}},
      {"lhuc", {make_lhuc, {}}},
      {"top-attention", {make_top_attention, {"size", "heads", "blocks"}}},
      {"top-layer", {make_top_layer, {"heads"}}},
      {"lora", {make_lora, {"size", "alpha", "dropout"}}},
  };
  return known;
}

void check_fields(const AdapterConfig& config, const std::set<std::string>& fields) {
  const std::pair<const char*, double> values[] = {{"size", static_cast<double>(config.size)},
                                                   {"heads", static_cast<double>(config.heads)},
                                                   {"blocks", static_cast<double>(config.blocks)},
                                                   {"alpha", config.alpha},
                                                   {"dropout", config.dropout}};
  for (const auto& [field, value] : values)
    if (value != 0 && !fields.count(field))
      fail("BAD_ARGUMENT", field, " of adapter '", config.name, "' is ", value, "; an adapter of kind ", config.kind, " has none");
  if (fields.count("size")) adapter_number(config, "size", config.size, 0);
}

// LayerNorms of the adapter's own, under the encoder's names: `adapters.<name>.norms.encoder.layer.0.output.LayerNorm.weight`.
void add_norms(EncoderHooks& hooks, const AdapterConfig& config, const AdapterParts& parts) {
  const EncoderConfig& encoder = parts.encoder;
  const bool crammed = encoder.kind == "crammed";
  const auto create = [&](const std::string& place, int64_t layer) {
    const std::string name = "adapters." + config.name + ".norms." + place + ".LayerNorm";
    return LayerNorm::create(parts.store, name, encoder.hidden_size, encoder.layer_norm_epsilon, layer);
  };
  hooks.embedding_norm = create("embeddings", 0);
  hooks.blocks.resize(static_cast<size_t>(encoder.layers));
  for (int64_t index = 0; index < encoder.layers; ++index) {
    const std::string block = "encoder.layer." + std::to_string(index);
    BlockHooks& own = hooks.blocks[static_cast<size_t>(index)];
    own.attention_norm = create(block + (crammed ? ".attention" : ".attention.output"), index + 1);
    own.inner_norm = create(block + (crammed ? ".intermediate" : ".output"), index + 1);
  }
  if (crammed) hooks.last_norm = create("encoder", encoder.layers);
}

}  // namespace

EncoderHooks make_adapter(const AdapterConfig& config, const AdapterParts& parts) {
  if (config.name.empty()) fail("BAD_ARGUMENT", "an adapter's name is empty; batches choose an adapter by its name");
  const auto kind = kinds().find(config.kind);
  if (kind == kinds().end()) {
    std::string known;
    for (const auto& [name, unused] : kinds()) known += (known.empty() ? "" : ", ") + name;
    fail("UNSUPPORTED", "adapter '", config.name, "' has kind '", config.kind, "'; one of ", known, " was expected");
  }
  check_fields(config, kind->second.fields);
  EncoderHooks hooks = kind->second.make(config, parts);
  if (config.layer_norms) add_norms(hooks, config, parts);
  return hooks;
}

int64_t adapter_number(const AdapterConfig& config, const char* field, int64_t value, int64_t fallback) {
  if (value == 0 && fallback > 0) return fallback;
  // Far above any adapter: a mistaken number would otherwise be built.
  const int64_t most = std::strcmp(field, "blocks") == 0 ? 4096 : 1 << 20;
  if (value < 1 || value > most)
    fail("BAD_ARGUMENT", field, " of adapter '", config.name, "' is ", value, "; 1 to ", most, " was expected");
  return value;
}

int64_t adapter_heads(const AdapterConfig& config, int64_t size, int64_t fallback) {
  const int64_t heads = adapter_number(config, "heads", config.heads, fallback);
  if (size % heads != 0)
    fail("BAD_ARGUMENT", "adapter '", config.name, "': size ", size, " is no multiple of its ", heads, " heads");
  return heads;
}

LowRank LowRank::create(ParameterStore& store, const std::string& name, int64_t hidden, int64_t size, int64_t layer) {
  return {Linear::create(store, name + ".encoder", hidden, size, layer), Linear::create(store, name + ".decoder", size, hidden, layer)};
}

at::Tensor LowRank::operator()(const ForwardPass& pass, const at::Tensor& x_TH) const {
  return decoder(pass, at::gelu(encoder(pass, x_TH)));
}

}  // namespace strata
