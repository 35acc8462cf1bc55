#pragma once
// What calls of several kinds ask of one batch. A question is about some of the batch's sequences; its labels and places, and the rows of
// its answer, are those of a batch of its sequences alone, in its order.
// Legend: R sequences and T tokens of a question, H hidden size, M places, K candidates.
#include "core/batch.h"
#include "core/inference/pooling.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace strata {

// (R, H)
struct VectorsQuestion {
  int64_t layer = 0;
  Pooling pooling = Pooling::mean;
  bool normalize = false;
};

// (T, H) a layer
struct StatesQuestion {
  std::vector<int64_t> layers;
};

// A head's scores of the labelled places
struct ScoresQuestion {
  std::string head;
  HeadLabels labels;
};

// Token ids (M, K) and probabilities (M, K) of a masked-LM head
struct MasksQuestion {
  std::string head;
  std::vector<int32_t> positions;  // (M) index into T
  int64_t top = 0;
  std::optional<int64_t> layer;  // whose states stand in for those of the head's own
};

struct Question {
  std::vector<int32_t> sequences;  // (R) of the batch
  std::variant<VectorsQuestion, StatesQuestion, ScoresQuestion, MasksQuestion> asked;
};

using Answer = std::vector<at::Tensor>;  // on the host

}  // namespace strata
