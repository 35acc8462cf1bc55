#include "core/probing/span_means.h"

#include "core/error.h"
#include "core/parallel.h"

namespace strata {

at::Tensor span_means(const std::vector<at::Tensor>& states, const std::vector<int32_t>& starts, const std::vector<int32_t>& ends) {
  if (states.empty()) fail("BAD_ARGUMENT", "no layer was asked for; at least one was expected");
  if (starts.size() != ends.size()) fail("BAD_ARGUMENT", "starts has ", starts.size(), " entries and ends ", ends.size(), "; as many were expected");
  const int64_t tokens = states[0].size(0), width = states[0].size(1), layers = static_cast<int64_t>(states.size());
  for (size_t i = 0; i < starts.size(); ++i)
    if (starts[i] < 0 || ends[i] <= starts[i] || ends[i] > tokens)
      fail("BAD_ARGUMENT", "span ", i, " is ", starts[i], " to ", ends[i], "; at least one of the ", tokens, " tokens was expected");
  const auto count = static_cast<int64_t>(starts.size());
  at::Tensor means = at::zeros({count, layers, width}, at::kFloat);
  float* out = means.mutable_data_ptr<float>();
  std::vector<const float*> rows;
  for (const at::Tensor& state : states) rows.push_back(state.const_data_ptr<float>());
  parallel_for(count, 16, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const float share = 1.0f / static_cast<float>(ends[s] - starts[s]);
      for (int64_t l = 0; l < layers; ++l) {
        float* mean = out + (s * layers + l) * width;
        for (int64_t t = starts[s]; t < ends[s]; ++t) {
          const float* state = rows[l] + t * width;
          for (int64_t h = 0; h < width; ++h) mean[h] += state[h];
        }
        for (int64_t h = 0; h < width; ++h) mean[h] *= share;
      }
    }
  });
  return means;
}

}  // namespace strata
