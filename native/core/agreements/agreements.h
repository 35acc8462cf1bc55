#pragma once
// Dependency agreements (DACBERT: Kuo, Zhang & Chen 2023, arXiv 2311.04799): one small submodel a relation says to which chunk of its
// sentence a chunk stands in that relation; what they say joins the encoder's embeddings. The abstract is all that is public of the
// method: everything below it is our choice.
//
//   h      states of the submodel: a crammed encoder (core/encoder/crammed.cc) with words and positions of its own
//   c_a    mean of the states of chunk a's tokens
//   s(a,b) = c_a B c_b + u [c_a; c_b] for the chunks b ≠ a of the sentence; 0 for "none"
//   P(b|a) = softmax over b and none
//   e_a    = [c_a; sum_b P(b|a) c_b]: what none gets adds nothing
//   x_t    = LN(E_t + sum_r g_r W_r e_r of t's chunk); a token of no chunk gets nothing
//
// B and u start at 0, so that at first every candidate is as likely. Positions count within the sequence, attention sees the whole
// sequence. A submodel without gradient runs without dropout; one that is trained drops what the encoder's rates say. Scores and P are
// of the master type.
// Legend: T tokens, C chunks, D a submodel's size, H the encoder's, V vocabulary, S, K as in chunks.h.
#include "core/agreements/chunks.h"
#include "core/encoder/encoder.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace strata {

// What one submodel says of a batch.
struct RelationStates {
  at::Tensor chunks_CD;             // c
  std::vector<at::Tensor> scores;   // by group: (S, K, K), -inf where b is no candidate
  std::vector<at::Tensor> states;   // by group: c at its places, (S, K, D)
};

struct AgreementStates {
  std::shared_ptr<const ChunkLayout> layout;
  std::map<std::string, RelationStates> relations;  // those that were asked for
};

// Scores of some chunks of one relation, (N, most chunks of a sentence + 1): the sentence's chunks in order, -inf for what is no
// candidate, then none.
at::Tensor agreement_scores(const AgreementStates& states, const std::string& relation, const at::Tensor& chunks_N);

// For every relation what Model.agreements() returns.
struct AgreementProbabilities {
  std::vector<int32_t> offsets;              // (C + 1)
  std::map<std::string, at::Tensor> values;  // float on the host
};

class Agreements {
 public:
  // Throws BAD_ARGUMENT for impossible numbers and names.
  Agreements(const AgreementConfig& config, const EncoderConfig& encoder, ParameterStore& store);

  const AgreementConfig& config() const { return config_; }
  bool knows(const std::string& relation) const { return submodels_.count(relation) > 0; }

  // Runs the submodels of `wanted`, with gradient, and where `for_encoder` those that the encoder gets, without gradient unless they
  // are trained by it. `host` was checked.
  AgreementStates states(const ForwardPass& pass, const PackedBatch& batch, const HostBatch& host, const std::set<std::string>& wanted,
                         bool for_encoder) const;
  // What joins the sum of the encoder's embeddings, (T, H) in the master type; undefined when there is nothing.
  at::Tensor embedding(const ForwardPass& pass, const AgreementStates& states) const;
  // Of all relations, those that are off included.
  AgreementProbabilities probabilities(const ForwardPass& pass, const PackedBatch& batch, const HostBatch& host) const;

 private:
  struct Submodel {
    Encoder encoder;
    ParameterRef bilinear;    // B (D, D)
    ParameterRef linear;      // u (2D)
    ParameterRef projection;  // W (H, 2D)
  };
  RelationStates run(const Submodel& submodel, const ForwardPass& pass, const PackedBatch& batch, const ChunkLayout& layout) const;

  AgreementConfig config_;
  std::map<std::string, Submodel> submodels_;
  std::vector<std::string> merged_;  // relations that the encoder gets, in order
  ParameterRef gates_;               // g (R)
};

}  // namespace strata
