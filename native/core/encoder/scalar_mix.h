#pragma once
// A learned sum of an encoder's layers, R = gamma * sum_j softmax(w)_j N(h_j), for every token: BERMo (Kodge & Roy 2021, arXiv
// 2110.15802) by ELMo's mix (Peters et al. 2018, section 3.2). What N is, which layers take part and how w starts are our choices.
#include "core/config.h"
#include "core/layers.h"

#include <vector>

namespace strata {

struct ScalarMix {
  MixConfig config;
  int64_t first = 1;     // 0 with the embedding output
  ParameterRef weights;  // (J)
  ParameterRef gamma;    // (1)

  static ScalarMix create(const MixConfig& config, ParameterStore& store, int64_t layers);
  // hidden: by layer, (T, H) each.
  at::Tensor operator()(const ForwardPass& pass, const std::vector<at::Tensor>& hidden) const;
};

}  // namespace strata
