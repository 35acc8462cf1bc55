#pragma once
// Sums of products of layers' states over blocks of rows, which is all the work of a linear CKA (Kornblith et al. 2019, arXiv 1905.00414, §3):
// Aᵀ B of some pairs of layers, in float64. Legend: R rows of a block, H width of a layer.
#include "core/ops.h"

#include <cstdint>
#include <utility>
#include <vector>

namespace strata {

class GramSums {
 public:
  // Places of two layers whose product is summed; twice the same for a layer with itself.
  using Pair = std::pair<int64_t, int64_t>;

  // Throws BAD_ARGUMENT for a width below 1 or a place that is none.
  GramSums(std::vector<int64_t> widths, std::vector<Pair> pairs);

  // One block a layer, (R · H) doubles row by row, of the same `rows`. Throws BAD_ARGUMENT for other sizes; the sums are then as before.
  void add(const std::vector<at::Tensor>& blocks, int64_t rows);
  // Of each pair, in their order: the squared Frobenius norm of the product about the means of all rows.
  std::vector<double> squares() const;

 private:
  std::vector<int64_t> widths_;
  std::vector<Pair> pairs_;
  // States are shifted by the first block's mean, (H): sums of products about 0 would lose the digits of states whose mean is far from it. The
  // mean that is left is taken off at the end.
  std::vector<at::Tensor> centres_;
  std::vector<at::Tensor> sums_;      // (H) a layer
  std::vector<at::Tensor> products_;  // (H of the left, H of the right) a pair
  int64_t rows_ = 0;
};

}  // namespace strata
