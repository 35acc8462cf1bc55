// Low-rank updates of the attention's matrices (Hu et al. 2021, arXiv 2106.09685): h W^T + (alpha / size) h A^T B^T, A drawn, B zero at the
// start, so that the adapter begins as the plain encoder. On query and value, as in the paper, unless `targets` says otherwise.
#include "core/adapters/adapter.h"
#include "core/error.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace strata {
namespace {

constexpr std::array<const char*, 3> kTargets{"query", "key", "value"};

struct Update {
  ParameterRef a;  // (S, H)
  ParameterRef b;  // (H, S)
};

// (T, 3H); a part without an update is zero.
struct QkvUpdate {
  std::array<Update, 3> updates;
  double scale = 1;
  double dropout = 0;

  at::Tensor operator()(const ForwardPass& pass, const at::Tensor& hidden_TH) const {
    const at::Tensor x_TH = pass.dropout ? pass.dropout->apply(hidden_TH, dropout) : hidden_TH;
    std::vector<at::Tensor> parts;
    for (const Update& update : updates) {
      if (!update.a) {
        parts.push_back(at::zeros(hidden_TH.sizes(), hidden_TH.options().requires_grad(false)));
        continue;
      }
      const at::Tensor inner_TS = x_TH.matmul(update.a->master.to(pass.type).t());
      parts.push_back(inner_TS.matmul((update.b->master * scale).to(pass.type).t()));
    }
    return at::cat(parts, 1);
  }
};

}  // namespace

EncoderHooks make_lora(const AdapterConfig& config, const AdapterParts& parts) {
  const int64_t hidden = parts.encoder.hidden_size;
  if (!(config.dropout >= 0 && config.dropout < 1))
    fail("BAD_ARGUMENT", "dropout of adapter '", config.name, "' is ", config.dropout, "; 0 ≤ p < 1 was expected");
  if (!(config.alpha >= 0 && std::isfinite(config.alpha)))
    fail("BAD_ARGUMENT", "alpha of adapter '", config.name, "' is ", config.alpha, "; a finite number above 0 was expected");
  for (const std::string& target : config.targets)
    if (std::find(kTargets.begin(), kTargets.end(), target) == kTargets.end())
      fail("BAD_ARGUMENT", "targets of adapter '", config.name, "' name '", target, "'; query, key or value was expected");
  EncoderHooks hooks;
  for (int64_t index = 0; index < parts.encoder.layers; ++index) {
    QkvUpdate update;
    update.scale = config.alpha > 0 ? config.alpha / static_cast<double>(config.size) : 1;
    update.dropout = config.dropout;
    for (size_t i = 0; i < kTargets.size(); ++i) {
      const bool wanted = config.targets.empty() ? i != 1 : std::count(config.targets.begin(), config.targets.end(), kTargets[i]) > 0;
      if (!wanted) continue;
      const std::string name = parts.layer_name(config, index) + "." + kTargets[i];
      update.updates[i] = {parts.store.create(name + ".a", {config.size, hidden}, Init::normal, true, index + 1),
                           parts.store.create(name + ".b", {hidden, config.size}, Init::zeros, true, index + 1)};
    }
    BlockHooks block;
    block.beside_qkv = [update](const ForwardPass& pass, const at::Tensor& hidden_TH) { return update(pass, hidden_TH); };
    hooks.blocks.push_back(std::move(block));
  }
  return hooks;
}

}  // namespace strata
