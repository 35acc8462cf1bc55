#include "core/parameters.h"

#include "core/error.h"
#include "core/inference/packed_weight.h"
#include "core/parallel.h"
#include "core/philox.h"

#include <cmath>
#include <numbers>

namespace strata {
namespace {

// Standard normal values by Box-Muller; value i depends on (key, i) alone.
void fill_normal(double* out, int64_t count, PhiloxKey key, double deviation) {
  parallel_for((count + 1) / 2, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t pair = begin; pair < end; ++pair) {
      const auto bits = philox4x32(key, static_cast<uint64_t>(pair));
      const double u = ((static_cast<uint64_t>(bits[0]) << 21 | bits[1] >> 11) + 0.5) * 0x1p-53;
      const double v = ((static_cast<uint64_t>(bits[2]) << 21 | bits[3] >> 11) + 0.5) * 0x1p-53;
      const double radius = deviation * std::sqrt(-2 * std::log(u));
      out[2 * pair] = radius * std::cos(2 * std::numbers::pi * v);
      if (2 * pair + 1 < count) out[2 * pair + 1] = radius * std::sin(2 * std::numbers::pi * v);
    }
  });
}

}  // namespace

const at::Tensor& Parameter::compute(at::ScalarType type) {
  if (master.scalar_type() == type) return value();
  if (low_is_stale) {
    at::NoGradGuard no_grad;
    if (low.defined()) {
      low.copy_(value());
    } else {
      low = value().detach().to(type);
    }
    low_is_stale = false;
  }
  return low;
}

void ParameterStore::draw(const std::string& name, at::Tensor target, Init init) const {
  at::NoGradGuard no_grad;
  switch (init) {
    case Init::zeros: target.zero_(); return;
    case Init::ones: target.fill_(1); return;
    case Init::normal: {
      if (!drawn_) return;
      at::Tensor values = at::empty(target.sizes(), at::kDouble);
      fill_normal(values.mutable_data_ptr<double>(), values.numel(), philox_key(seed_, name_hash(name)), range_);
      target.copy_(values);
      return;
    }
  }
}

ParameterRef ParameterStore::create(const std::string& name, at::IntArrayRef shape, Init init, bool decays, int64_t layer) {
  auto parameter = std::make_shared<Parameter>();
  parameter->name = name;
  parameter->master = at::empty(shape, at::TensorOptions().dtype(master_type(precision_)).device(device_));
  parameter->decays = decays;
  parameter->layer = layer;
  draw(name, parameter->master, init);
  parameter->master.requires_grad_(trainable_);
  parameters_.push_back(parameter);
  add_part({name, parameter, 0, 0});
  return parameter;
}

ParameterRef ParameterStore::create_stacked(const std::string& name, const std::vector<std::string>& parts,
                                            at::IntArrayRef part_shape, Init init, bool decays, int64_t layer) {
  std::vector<int64_t> shape(part_shape.begin(), part_shape.end());
  const int64_t rows = shape[0];
  shape[0] *= static_cast<int64_t>(parts.size());
  auto parameter = std::make_shared<Parameter>();
  parameter->name = name;
  parameter->master = at::empty(shape, at::TensorOptions().dtype(master_type(precision_)).device(device_));
  parameter->decays = decays;
  parameter->layer = layer;
  for (size_t i = 0; i < parts.size(); ++i) {
    NamedPart part{parts[i], parameter, static_cast<int64_t>(i) * rows, rows};
    draw(part.name, part.of(parameter->master), init);
    add_part(part);
  }
  parameter->master.requires_grad_(trainable_);
  parameters_.push_back(parameter);
  return parameter;
}

void ParameterStore::add_part(NamedPart part) {
  if (index_.count(part.name)) fail("BAD_ARGUMENT", "two parameters are named ", part.name, "; give each head its own name");
  index_[part.name] = parts_.size();
  parts_.push_back(std::move(part));
}

const NamedPart& ParameterStore::part(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) fail("NOT_FOUND", "the model has no parameter named ", name, "; parameters() lists them");
  return parts_[found->second];
}

void ParameterStore::mark_updated() {
  ++version_;
  for (const auto& parameter : parameters_) parameter->low_is_stale = true;
}

void ParameterStore::require_values(const NamedPart& part) {
  if (part.owner->released)
    fail("UNSUPPORTED", part.name, " is kept in 8 bits alone; load the model in another precision to read or write its weights");
}

void ParameterStore::drop_gradients() {
  for (const auto& parameter : parameters_) parameter->master.mutable_grad() = at::Tensor();
}

int64_t ParameterStore::bytes() const {
  int64_t total = 0;
  for (const auto& parameter : parameters_) {
    if (!parameter->released) total += static_cast<int64_t>(parameter->master.nbytes());
    if (parameter->low.defined()) total += static_cast<int64_t>(parameter->low.nbytes());
    if (parameter->packed) total += parameter->packed->bytes();
  }
  return total;
}

}  // namespace strata
