#pragma once
// The weights of a model by name. A parameter is what the optimiser updates; an alias is a named part of one (query, key and
// value are parts of one matrix, so that they cost one product).
#include "core/ops.h"
#include "core/precision.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace strata {

class PackedWeight;

struct Parameter {
  std::string name;
  at::Tensor master;  // leaf with gradient, fp32 or fp64
  at::Tensor masked;  // what products use in place of the master while it is pruned; else undefined
  at::Tensor low;     // copy of the value in the compute type; undefined when that is the master's
  bool low_is_stale = true;
  bool decays = true;
  int64_t layer = 0;  // 0 embeddings, l block l, L + 1 heads
  std::shared_ptr<const PackedWeight> packed;  // of a model that only answers: what products use; else null
  bool released = false;                       // the master is gone, `packed` alone is left

  const at::Tensor& value() const { return masked.defined() ? masked : master; }
  // The copy that products use; made anew after each update that has not renewed it itself.
  const at::Tensor& compute(at::ScalarType type);
};
using ParameterRef = std::shared_ptr<Parameter>;

struct NamedPart {
  std::string name;
  ParameterRef owner;
  int64_t row = 0;   // first row of the owner, along dimension 0
  int64_t rows = 0;  // number of rows; 0 = the whole parameter

  at::Tensor of(const at::Tensor& tensor) const { return rows == 0 ? tensor : tensor.narrow(0, row, rows); }
};

enum class Init { normal, zeros, ones };

class ParameterStore {
 public:
  // Not `trainable`: parameters without gradients. Not `drawn`: matrices hold whatever stood in their memory until they are loaded.
  ParameterStore(Precision precision, at::Device device, uint64_t seed, double initializer_range, bool trainable = true, bool drawn = true)
      : precision_(precision), device_(device), seed_(seed), range_(initializer_range), trainable_(trainable), drawn_(drawn) {}

  // Draws depend on the seed and the name only, never on the order of creation.
  ParameterRef create(const std::string& name, at::IntArrayRef shape, Init init, bool decays, int64_t layer);
  // One parameter of stacked rows whose parts have names of their own and are drawn by these names.
  ParameterRef create_stacked(const std::string& name, const std::vector<std::string>& parts, at::IntArrayRef part_shape,
                              Init init, bool decays, int64_t layer);

  const std::vector<ParameterRef>& all() const { return parameters_; }
  const std::vector<NamedPart>& parts() const { return parts_; }
  const NamedPart& part(const std::string& name) const;  // throws NOT_FOUND
  void mark_updated();
  // Grows with every update: what was computed from the weights of an earlier one is out of date.
  uint64_t version() const { return version_; }
  void drop_gradients();
  int64_t bytes() const;
  // Throws UNSUPPORTED when the part's values are no longer there as such.
  static void require_values(const NamedPart& part);
  Precision precision() const { return precision_; }
  at::Device device() const { return device_; }
  void draw(const std::string& name, at::Tensor target, Init init) const;

 private:
  void add_part(NamedPart part);

  Precision precision_;
  at::Device device_;
  uint64_t seed_;
  double range_;
  uint64_t version_ = 0;
  std::vector<ParameterRef> parameters_;
  std::vector<NamedPart> parts_;
  std::map<std::string, size_t> index_;
  bool trainable_, drawn_;
};

}  // namespace strata
