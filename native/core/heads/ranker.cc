// Relevance ranking (Liu et al. 2019, arXiv 1901.11504, equation 8 with the logarithm that its text and code have): the scores
// w x + b of a question's candidates compete in one softmax. Any number of candidates, as the equation allows; the published
// code has two. The bias moves all candidates alike: it stays so that the parameters equal the regressor's.
#include "core/error.h"
#include "core/heads/pooler.h"

#include <set>

namespace strata {
namespace {

// The labelled candidates of a question, as rows of the scores.
struct Group {
  int32_t number = 0;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t right = -1;  // -1: none is marked
};

std::vector<Group> groups_of(const HeadConfig& config, const HeadLabels& labels) {
  std::vector<Group> groups;
  std::set<int32_t> seen;
  int64_t row = 0;
  for (const int64_t b : labelled_rows(labels.labels)) {
    const int32_t number = labels.groups[b];
    if (groups.empty() || groups.back().number != number) {
      if (!seen.insert(number).second)
        fail("BAD_ARGUMENT", "groups[", b, "] of head '", config.name, "' is ", number, ", whose candidates ended before; ",
             "candidates of one question beside each other were expected");
      groups.push_back({number, row, row, -1});
    }
    Group& group = groups.back();
    if (labels.labels[b] == 1) {
      if (group.right >= 0)
        fail("BAD_ARGUMENT", "labels[", b, "] of head '", config.name, "' is a second 1 in group ", number,
             "; one right candidate a group was expected");
      group.right = row;
    }
    group.end = ++row;
  }
  return groups;
}

}  // namespace

HeadRef make_ranker(const HeadConfig& config, const HeadParts& parts) {
  auto scorer = std::make_shared<PooledScorer>(PooledScorer::create(config, parts, 1));
  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = config.layer;
  head->chooses_class = false;
  head->returns_scores = true;
  head->check = [config](const HostBatch& batch, const HeadLabels& labels) {
    check_class_labels(config, labels.labels, static_cast<size_t>(batch.sequences()), "sequence", 2);
    check_length(config, "groups", labels.groups.size(), batch.sequences(), "sequence");
    return static_cast<int64_t>(groups_of(config, labels).size());
  };
  head->logits = [scorer](const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
    const std::vector<int64_t> rows = labelled_rows(labels.labels);
    targets.assign(rows.size(), 0);
    return (*scorer)(input, rows);
  };
  head->loss_of = [config](const HeadInput& input, const HeadLabels& labels, const at::Tensor& scores_B1, const std::vector<int64_t>&) {
    std::vector<Segment> segments;
    for (const Group& group : groups_of(config, labels)) {
      if (group.right < 0)
        fail("BAD_ARGUMENT", "group ", group.number, " of head '", config.name, "' has no candidate of label 1; ",
             "exactly one was expected for a loss (headLogits scores candidates without labels)");
      segments.push_back({group.begin, group.end, group.right});
    }
    return LossSum{segment_cross_entropy_sum(input.batch, scores_B1.reshape(-1), segments), static_cast<int64_t>(segments.size())};
  };
  return head;
}

}  // namespace strata
