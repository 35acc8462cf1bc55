#include "core/error.h"
#include "core/heads/head.h"
#include "core/kernels/row_kernels.h"
#include "core/parallel.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace strata {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// One loss a row, in parallel; their sum is taken in one order, whatever the threads did.
template <typename LossOf>
double sum_of_losses(size_t rows, const LossOf& loss_of) {
  std::vector<double> losses(rows);
  parallel_for(static_cast<int64_t>(rows), 8, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) losses[static_cast<size_t>(r)] = loss_of(r);
  });
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

template <typename Value>
double fill_gradient(at::Tensor& rows, const std::vector<int64_t>& targets) {
  const int64_t columns = rows.size(1);
  Value* data = rows.mutable_data_ptr<Value>();
  return sum_of_losses(targets.size(), [&](int64_t r) { return kernels::cross_entropy_row(data + r * columns, columns, targets[r]); });
}

// The logits' memory is reused for their gradient: one pass over a matrix that is often the largest of a step.
struct CrossEntropySum : torch::autograd::Function<CrossEntropySum> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits_NC, const std::vector<int64_t>& targets) {
    at::Tensor rows = logits_NC.detach().contiguous();
    const double sum = rows.scalar_type() == at::kDouble ? fill_gradient<double>(rows, targets) : fill_gradient<float>(rows, targets);
    context->save_for_backward({rows});
    return at::scalar_tensor(sum, rows.options());
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    at::Tensor rows = context->get_saved_variables()[0];
    return {rows.mul_(gradients[0]), at::Tensor()};
  }
};

// Of logits in bf16 the gradient takes the place backwards, when its scale is known.
struct NarrowCrossEntropySum : torch::autograd::Function<NarrowCrossEntropySum> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits_NC, const std::vector<int64_t>& targets) {
    const at::Tensor rows = logits_NC.detach().contiguous();
    const int64_t columns = rows.size(1);
    at::Tensor log_sums = at::empty({rows.size(0)}, rows.options().dtype(at::kFloat));
    const auto* data = static_cast<const kernels::Bf16*>(rows.const_data_ptr());
    float* sums = log_sums.mutable_data_ptr<float>();
    const double sum = sum_of_losses(
        targets.size(), [&](int64_t r) { return kernels::cross_entropy_row(data + r * columns, columns, targets[r], sums[r]); });
    context->save_for_backward({rows, log_sums});
    context->saved_data["targets"] = targets;
    return at::scalar_tensor(sum, log_sums.options());
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    at::Tensor rows = saved[0];
    const int64_t columns = rows.size(1);
    const auto targets = context->saved_data["targets"].toIntVector();
    const auto scale = gradients[0].item<float>();
    auto* data = static_cast<kernels::Bf16*>(rows.mutable_data_ptr());
    const float* sums = saved[1].const_data_ptr<float>();
    parallel_for(rows.size(0), 8, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) kernels::cross_entropy_gradient_row(data + r * columns, columns, targets[r], sums[r], scale);
    });
    return {rows, at::Tensor()};
  }
};

}  // namespace

bool reads_narrow_logits(const ForwardPass& pass, const at::Tensor& logits_NC) {
  return pass.kernels == Kernels::fast && logits_NC.device().is_cpu() && logits_NC.requires_grad() && logits_NC.scalar_type() == at::kBFloat16;
}

at::Tensor cross_entropy_sum(const ForwardPass& pass, const at::Tensor& logits_NC, const at::Tensor& targets_N,
                             const std::vector<int64_t>& targets) {
  if (reads_narrow_logits(pass, logits_NC)) return NarrowCrossEntropySum::apply(logits_NC, targets);
  if (pass.kernels == Kernels::fast && logits_NC.device().is_cpu() && logits_NC.requires_grad())
    return CrossEntropySum::apply(logits_NC, targets);
  return at::cross_entropy_loss(logits_NC, targets_N, {}, at::Reduction::Sum);
}

void use_cross_entropy(Head& head) {
  head.loss_of = [](const HeadInput& input, const HeadLabels&, const at::Tensor& logits_NC, const std::vector<int64_t>& targets) {
    return LossSum{cross_entropy_sum(input.pass, logits_NC, input.batch.index(targets), targets), static_cast<int64_t>(targets.size())};
  };
}

at::Tensor segment_cross_entropy_sum(const PackedBatch& batch, const at::Tensor& scores_N, const std::vector<Segment>& segments) {
  int64_t longest = 0;
  for (const Segment& segment : segments) longest = std::max(longest, segment.end - segment.begin);
  const auto count = static_cast<int64_t>(segments.size());
  std::vector<int64_t> places(static_cast<size_t>(count * longest), 0), targets;
  at::Tensor empty = at::ones({count, longest}, at::kBool);
  bool* empty_data = empty.mutable_data_ptr<bool>();
  for (int64_t s = 0; s < count; ++s) {
    const Segment& segment = segments[s];
    targets.push_back(segment.target - segment.begin);
    for (int64_t i = 0; i < segment.end - segment.begin; ++i) {
      places[s * longest + i] = segment.begin + i;
      empty_data[s * longest + i] = false;
    }
  }
  const at::Tensor scores_SL = scores_N.index_select(0, batch.index(places))
                                   .view({count, longest})
                                   .masked_fill(empty.to(scores_N.device()), -std::numeric_limits<double>::infinity());
  return at::cross_entropy_loss(scores_SL, batch.index(targets), {}, at::Reduction::Sum);
}

int64_t count_labels(const std::vector<int32_t>& labels) {
  return static_cast<int64_t>(labels.size()) - std::count(labels.begin(), labels.end(), kNoLabel);
}

std::vector<int64_t> labelled_rows(const std::vector<int32_t>& labels) {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] != kNoLabel) rows.push_back(static_cast<int64_t>(i));
  return rows;
}

void check_length(const HeadConfig& head, const char* field, size_t length, int64_t expected, const char* unit) {
  if (length != static_cast<size_t>(expected))
    fail("BAD_ARGUMENT", field, " of head '", head.name, "' has ", length, " entries; ", expected, " (one a ", unit, ") were expected");
}

void check_class_labels(const HeadConfig& head, const std::vector<int32_t>& labels, size_t expected, const char* unit,
                        int32_t classes) {
  check_length(head, "labels", labels.size(), static_cast<int64_t>(expected), unit);
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] != kNoLabel && (labels[i] < 0 || labels[i] >= classes))
      fail("BAD_ARGUMENT", "labels[", i, "] of head '", head.name, "' is ", labels[i], "; 0 to ", classes - 1, " or ", kNoLabel,
           " (no label) was expected");
}

void check_positions(const HeadConfig& head, const HostBatch& batch, const HeadLabels& labels) {
  for (size_t i = 0; i < labels.positions.size(); ++i)
    if (labels.positions[i] < 0 || labels.positions[i] >= batch.tokens())
      fail("BAD_ARGUMENT", "positions[", i, "] of head '", head.name, "' is ", labels.positions[i], "; 0 to ", batch.tokens() - 1,
           " was expected");
}

void check_classes(const HeadConfig& head) {
  if (head.classes < 2 || head.classes > std::numeric_limits<int32_t>::max())
    fail("BAD_ARGUMENT", "classes of head '", head.name, "' is ", head.classes, "; at least 2 were expected, what else could be chosen");
}

void check_rate(const HeadConfig& head, const char* field, double rate) {
  if (!(rate >= 0 && rate < 1)) fail("BAD_ARGUMENT", field, " of head '", head.name, "' is ", rate, "; 0 ≤ p < 1 was expected");
}

}  // namespace strata
