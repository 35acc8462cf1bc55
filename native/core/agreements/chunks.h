#pragma once
// The chunks of one packed batch: the tokens of each, and the places of a sentence's chunk pairs in padded matrices.
// Legend: T tokens, C chunks, S sentences of a group, K the most chunks of one of them, P = S * K places.
#include "core/batch.h"

#include <cstdint>
#include <vector>

namespace strata {

// Throws BAD_ARGUMENT naming the field, the index and what was expected.
void check_chunks(const HostBatch& batch);

// Chunk c's sentence has the chunks begin[c] to end[c], exclusive.
struct SentenceBounds {
  std::vector<int64_t> begin, end;

  explicit SentenceBounds(const std::vector<int32_t>& sentences);
};

// Sentences of like length. Row i of a sentence are the scores of its chunk i with its chunks as columns.
struct ChunkGroup {
  int64_t sentences = 0;
  int64_t longest = 0;
  at::Tensor chunk_of_P;  // int64: the chunk at each place; the sentence's last where there is none
  at::Tensor mask_SKK;    // float: 0 for a candidate, -inf for the chunk itself and for an empty place
};

// Index tensors are int64 on the batch's device.
struct ChunkLayout {
  int64_t count = 0;
  int64_t longest = 0;  // most chunks of a sentence
  SentenceBounds bounds;
  // Tokens in the order of their chunks, and where each chunk begins among them, (C + 1). On the host.
  at::Tensor tokens;
  at::Tensor first;
  at::Tensor chunk_of_T;  // C for tokens of no chunk
  at::Tensor sizes_C;     // tokens of each chunk, float
  std::vector<ChunkGroup> groups;
  at::Tensor place_of_C;                // among the places of all groups, end to end
  std::vector<int64_t> group_of_C;      // host
  std::vector<int64_t> place_in_group;  // host, (C)

  ChunkLayout(const HostChunks& chunks, const PackedBatch& batch);
};

// Means of the states of each chunk's tokens: (T, D) to (C, D).
at::Tensor chunk_means(const at::Tensor& states_TD, const ChunkLayout& layout, bool fast);

}  // namespace strata
