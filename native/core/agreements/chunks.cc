#include "core/agreements/chunks.h"

#include "core/error.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace strata {
namespace {

// Most scores of a group: what one long sentence costs the short ones in empty places stays bounded.
constexpr int64_t kMostScores = int64_t{1} << 18;

struct Sentence {
  int64_t begin, chunks;
};

std::vector<std::vector<Sentence>> grouped(const SentenceBounds& bounds) {
  std::vector<Sentence> sentences;
  for (size_t c = 0; c < bounds.begin.size(); c = static_cast<size_t>(bounds.end[c]))
    sentences.push_back({bounds.begin[c], bounds.end[c] - bounds.begin[c]});
  std::stable_sort(sentences.begin(), sentences.end(), [](const Sentence& a, const Sentence& b) { return a.chunks > b.chunks; });
  std::vector<std::vector<Sentence>> groups;
  for (const Sentence& sentence : sentences) {
    const auto scores = [&] {
      const int64_t longest = groups.back().front().chunks;
      return (static_cast<int64_t>(groups.back().size()) + 1) * longest * longest;
    };
    if (groups.empty() || scores() > kMostScores) groups.emplace_back();
    groups.back().push_back(sentence);
  }
  return groups;
}

}  // namespace

void check_chunks(const HostBatch& batch) {
  if (!batch.chunks)
    fail("BAD_ARGUMENT", "the batch has no chunks; the model has agreements, which read chunks.ids (one a token) and chunks.sentences (one a chunk)");
  const auto& [ids, sentences] = *batch.chunks;
  const auto count = static_cast<int64_t>(sentences.size());
  if (ids.size() != batch.token_ids.size())
    fail("BAD_ARGUMENT", "chunks.ids has ", ids.size(), " entries, ", batch.tokens(), " (one a token) were expected");
  for (size_t c = 1; c < sentences.size(); ++c)
    if (sentences[c] < sentences[c - 1])
      fail("BAD_ARGUMENT", "chunks.sentences[", c, "] is ", sentences[c], " after ", sentences[c - 1], "; ascending numbers were expected");
  std::vector<int64_t> sequence(sentences.size(), -1);
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    for (int64_t t = batch.sequence_offsets[b]; t < batch.sequence_offsets[b + 1]; ++t) {
      const int64_t chunk = ids[t];
      if (chunk < -1 || chunk >= count)
        fail("BAD_ARGUMENT", "chunks.ids[", t, "] is ", chunk, "; -1 (none) to ", count - 1, " was expected, chunks.sentences has ", count, " entries");
      if (chunk < 0) continue;
      if (sequence[chunk] >= 0 && sequence[chunk] != b)
        fail("BAD_ARGUMENT", "chunk ", chunk, " has tokens in the sequences ", sequence[chunk], " and ", b, "; a chunk of one sequence was expected");
      sequence[chunk] = b;
    }
  }
  const auto empty = std::find(sequence.begin(), sequence.end(), -1);
  if (empty != sequence.end())
    fail("BAD_ARGUMENT", "chunk ", empty - sequence.begin(), " of chunks.sentences has no token in chunks.ids; at least one was expected");
  for (size_t c = 1; c < sentences.size(); ++c)
    if (sentences[c] == sentences[c - 1] && sequence[c] != sequence[c - 1])
      fail("BAD_ARGUMENT", "sentence ", sentences[c], " of chunks.sentences has chunks in the sequences ", sequence[c - 1], " and ", sequence[c],
           "; a sentence of one sequence was expected");
}

SentenceBounds::SentenceBounds(const std::vector<int32_t>& sentences) : begin(sentences.size()), end(sentences.size()) {
  const auto count = static_cast<int64_t>(sentences.size());
  for (int64_t first = 0, last = 0; first < count; first = last) {
    while (last < count && sentences[last] == sentences[first]) ++last;
    std::fill(begin.begin() + first, begin.begin() + last, first);
    std::fill(end.begin() + first, end.begin() + last, last);
  }
}

ChunkLayout::ChunkLayout(const HostChunks& chunks, const PackedBatch& batch)
    : count(static_cast<int64_t>(chunks.sentences.size())), bounds(chunks.sentences), group_of_C(chunks.sentences.size()),
      place_in_group(chunks.sentences.size()) {
  std::vector<int64_t> chunk_of(chunks.ids.size()), starts(static_cast<size_t>(count) + 1, 0);
  for (size_t t = 0; t < chunks.ids.size(); ++t) {
    chunk_of[t] = chunks.ids[t] < 0 ? count : chunks.ids[t];
    if (chunks.ids[t] >= 0) starts[static_cast<size_t>(chunks.ids[t]) + 1] += 1;
  }
  at::Tensor sizes = at::empty({count}, at::kFloat);
  for (int64_t c = 0; c < count; ++c) sizes.mutable_data_ptr<float>()[c] = static_cast<float>(starts[static_cast<size_t>(c) + 1]);
  std::partial_sum(starts.begin(), starts.end(), starts.begin());
  first = at::empty({count + 1}, at::kLong);
  std::copy(starts.begin(), starts.end(), first.mutable_data_ptr<int64_t>());
  tokens = at::empty({starts.back()}, at::kLong);
  for (size_t t = 0; t < chunks.ids.size(); ++t)
    if (chunks.ids[t] >= 0) tokens.mutable_data_ptr<int64_t>()[starts[static_cast<size_t>(chunks.ids[t])]++] = static_cast<int64_t>(t);
  chunk_of_T = batch.index(chunk_of);
  sizes_C = sizes.to(batch.device);

  std::vector<int64_t> place_of(static_cast<size_t>(count));
  int64_t base = 0;
  for (const auto& sentences : grouped(bounds)) {
    ChunkGroup group;
    group.sentences = static_cast<int64_t>(sentences.size());
    group.longest = sentences.front().chunks;
    longest = std::max(longest, group.longest);
    const int64_t width = group.longest;
    std::vector<int64_t> chunk_at(static_cast<size_t>(group.sentences * width));
    at::Tensor mask = at::full({group.sentences, width, width}, -std::numeric_limits<float>::infinity(), at::kFloat);
    float* row = mask.mutable_data_ptr<float>();
    for (int64_t s = 0; s < group.sentences; ++s) {
      const Sentence& sentence = sentences[static_cast<size_t>(s)];
      for (int64_t i = 0; i < width; ++i, row += width) {
        chunk_at[static_cast<size_t>(s * width + i)] = sentence.begin + std::min(i, sentence.chunks - 1);
        if (i >= sentence.chunks) continue;
        for (int64_t j = 0; j < sentence.chunks; ++j)
          if (j != i) row[j] = 0;
        const auto chunk = static_cast<size_t>(sentence.begin + i);
        group_of_C[chunk] = static_cast<int64_t>(groups.size());
        place_in_group[chunk] = s * width + i;
        place_of[chunk] = base + s * width + i;
      }
    }
    base += group.sentences * width;
    group.chunk_of_P = batch.index(chunk_at);
    group.mask_SKK = mask.to(batch.device);
    groups.push_back(std::move(group));
  }
  place_of_C = batch.index(place_of);
}

}  // namespace strata
