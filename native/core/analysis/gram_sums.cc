#include "core/analysis/gram_sums.h"

#include "core/error.h"

namespace strata {

GramSums::GramSums(std::vector<int64_t> widths, std::vector<Pair> pairs) : widths_(std::move(widths)), pairs_(std::move(pairs)) {
  for (const int64_t width : widths_)
    if (width < 1) fail("BAD_ARGUMENT", "width ", width, " of a layer's states; at least 1 was expected");
  const int64_t layers = static_cast<int64_t>(widths_.size());
  for (const auto& [left, right] : pairs_)
    if (left < 0 || right < 0 || left >= layers || right >= layers)
      fail("BAD_ARGUMENT", "layers ", left, " and ", right, " as a pair; places from 0 to ", layers - 1, " were expected");
  for (const int64_t width : widths_) sums_.push_back(at::zeros({width}, at::kDouble));
  for (const auto& [left, right] : pairs_) products_.push_back(at::zeros({widths_[left], widths_[right]}, at::kDouble));
}

void GramSums::add(const std::vector<at::Tensor>& blocks, int64_t rows) {
  if (blocks.size() != widths_.size()) fail("BAD_ARGUMENT", blocks.size(), " blocks of states came, ", widths_.size(), " were expected, one a layer");
  if (rows < 0) fail("BAD_ARGUMENT", rows, " rows came, 0 or more were expected");
  for (size_t layer = 0; layer < blocks.size(); ++layer)
    if (blocks[layer].numel() / widths_[layer] != rows || blocks[layer].numel() % widths_[layer] != 0)
      fail("BAD_ARGUMENT", "the block of layer ", layer, " has ", blocks[layer].numel(), " numbers, ", rows, " rows of ", widths_[layer], " were expected");
  if (rows == 0) return;
  std::vector<at::Tensor> states_RH;
  for (size_t layer = 0; layer < blocks.size(); ++layer) states_RH.push_back(blocks[layer].to(at::kDouble).view({rows, widths_[layer]}));
  if (centres_.empty()) {
    // Taken from the first row: of equal rows it is exactly that row.
    for (const at::Tensor& states : states_RH) centres_.push_back(states[0] + (states - states[0]).mean(0));
  }
  for (size_t layer = 0; layer < states_RH.size(); ++layer) {
    states_RH[layer] = states_RH[layer] - centres_[layer];
    sums_[layer] += states_RH[layer].sum(0);
  }
  for (size_t pair = 0; pair < pairs_.size(); ++pair) {
    const auto& [left, right] = pairs_[pair];
    products_[pair].addmm_(states_RH[left].t(), states_RH[right]);
  }
  rows_ += rows;
}

std::vector<double> GramSums::squares() const {
  if (rows_ == 0) fail("BAD_ARGUMENT", "no row of states was added; at least one was expected");
  std::vector<double> squares;
  for (size_t pair = 0; pair < pairs_.size(); ++pair) {
    const auto& [left, right] = pairs_[pair];
    const at::Tensor about_means = products_[pair] - at::outer(sums_[left], sums_[right]) / static_cast<double>(rows_);
    squares.push_back(about_means.square().sum().item<double>());
  }
  return squares;
}

}  // namespace strata
