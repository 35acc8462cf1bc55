#pragma once
// Dropout whose masks can be made again: a mask is a pure function of (seed, training pass, site), never of the order in which
// threads run, and a resumed run goes on with the same masks.
#include "core/ops.h"
#include "core/philox.h"

namespace strata {

struct DropoutState {
  uint64_t seed = 0;
  uint64_t counter = 0;  // training forward passes so far
};

// The dropout of one training forward pass. Every use is a new site.
class DropoutPass {
 public:
  explicit DropoutPass(DropoutState state) : state_(state) {}
  // x with each value set to 0 with probability p, else scaled by 1 / (1 - p).
  at::Tensor apply(const at::Tensor& x, double p);
  PhiloxKey next_site() { return philox_key(state_.seed, state_.counter, ++site_); }

 private:
  DropoutState state_;
  uint64_t site_ = 0;
};

// Values 0 or `keep` by key; element i depends on (key, i) alone. `keep` is rounded to the type.
at::Tensor dropout_mask(at::IntArrayRef shape, double p, double keep, PhiloxKey key, const at::TensorOptions& options);

// A generator of a device that is not the CPU, at the key's own place.
at::Generator device_generator(at::Device device, PhiloxKey key);

// As above for a raw row of float factors, 0 or `keep`: element i of the row uses counter value offset + i. offset must be divisible by 4.
void dropout_factors(float* out, int64_t count, double p, float keep, PhiloxKey key, uint64_t offset);

}  // namespace strata
