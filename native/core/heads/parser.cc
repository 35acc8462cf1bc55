// Deep biaffine dependency parser (Dozat & Manning 2017, arXiv 1611.01734, sections 3.1 and 3.2) on the encoder's states. A word is the
// state of its first piece, the root that of its sequence's first token. Four layers make vectors of words as dependents and as heads:
//   arc    s_ij  = (U d_i + u) h_j                     over the root and all words j of the sentence
//   label  s_ijr = (U_r d_i + u_r) h_j + w_r d_i + b_r
// The loss of a word is the cross-entropy of its head plus that of its relation at the right head.
// Deliberate differences: GELU in the layers where the paper has ReLU; dropout by value, on the states and on the layers' outputs, where
// the paper drops whole vectors of its LSTM; matrices start at N(0, initializerRange). Our addition: with `tags` a linear layer on the
// same states gives each word a part of speech, whose cross-entropy joins the sum.
#include "core/error.h"
#include "core/heads/pooler.h"

#include <algorithm>
#include <utility>

namespace strata {
namespace {

// W words of one sequence. Its arcs are W rows of W + 1 heads, the root first.
struct Sentence {
  int64_t first_token = 0;
  int64_t first_word = 0;  // row among all words of the batch
  int64_t words = 0;
  int64_t first_arc = 0;  // place among the arcs of the batch

  int64_t arc(int64_t word) const { return first_arc + (word - first_word) * (words + 1); }
};

// Sequences with at least one word. `Offset` is the type of the offsets.
template <typename Offset>
std::vector<Sentence> sentences_of(const std::vector<Offset>& offsets, const std::vector<int32_t>& positions) {
  std::vector<Sentence> sentences;
  size_t next = 0;
  int64_t arcs = 0;
  for (size_t b = 0; b + 1 < offsets.size(); ++b) {
    const size_t first = next;
    while (next < positions.size() && positions[next] < offsets[b + 1]) ++next;
    if (next == first) continue;
    const auto words = static_cast<int64_t>(next - first);
    sentences.push_back({offsets[b], static_cast<int64_t>(first), words, arcs});
    arcs += words * (words + 1);
  }
  return sentences;
}

void check_words(const HeadConfig& config, const HostBatch& batch, const HeadLabels& labels) {
  check_positions(config, batch, labels);
  const auto& positions = labels.positions;
  for (size_t i = 0; i < positions.size(); ++i) {
    if (i > 0 && positions[i] <= positions[i - 1])
      fail("BAD_ARGUMENT", "positions[", i, "] of head '", config.name, "' is ", positions[i], " after ", positions[i - 1],
           "; ascending positions were expected");
    if (std::binary_search(batch.sequence_offsets.begin(), batch.sequence_offsets.end(), positions[i]))
      fail("BAD_ARGUMENT", "positions[", i, "] of head '", config.name, "' is ", positions[i],
           ", the first token of a sequence, which stands for the root; a word behind it was expected");
  }
}

void check_heads(const HeadConfig& config, const HostBatch& batch, const HeadLabels& labels) {
  check_length(config, "heads", labels.heads.size(), static_cast<int64_t>(labels.positions.size()), "position");
  for (const Sentence& sentence : sentences_of(batch.sequence_offsets, labels.positions)) {
    for (int64_t i = sentence.first_word; i < sentence.first_word + sentence.words; ++i) {
      if (labels.labels[i] == kNoLabel) continue;
      const int64_t head = labels.heads[i], own = i - sentence.first_word + 1;
      if (head < 0 || head > sentence.words || head == own)
        fail("BAD_ARGUMENT", "heads[", i, "] of head '", config.name, "' is ", head, ", of word ", own, " of ", sentence.words,
             "; 0 (the root) or the number of another word was expected");
    }
  }
}

void check_tags(const HeadConfig& config, const HeadLabels& labels) {
  check_length(config, "tags", labels.tags.size(), config.tags > 0 ? static_cast<int64_t>(labels.positions.size()) : 0, "position");
  for (size_t i = 0; i < labels.tags.size(); ++i)
    if (labels.tags[i] != kNoLabel && (labels.tags[i] < 0 || labels.tags[i] >= config.tags))
      fail("BAD_ARGUMENT", "tags[", i, "] of head '", config.name, "' is ", labels.tags[i], "; 0 to ", config.tags - 1, " or ", kNoLabel,
           " (no tag) was expected");
}

// Sentences of like length, so that few of their padded places are empty.
struct Group {
  std::vector<Sentence> sentences;
  int64_t longest = 0;

  int64_t count() const { return static_cast<int64_t>(sentences.size()); }
};

std::vector<Group> groups_of(std::vector<Sentence> sentences) {
  constexpr int64_t kMostWords = 512;
  std::stable_sort(sentences.begin(), sentences.end(), [](const Sentence& a, const Sentence& b) { return a.words > b.words; });
  std::vector<Group> groups;
  for (const Sentence& sentence : sentences) {
    if (groups.empty() || 4 * sentence.words < 3 * groups.back().longest || (groups.back().count() + 1) * groups.back().longest > kMostWords)
      groups.push_back({{}, sentence.words});
    groups.back().sentences.push_back(sentence);
  }
  return groups;
}

// Rows of the words that stand at the padded places of a group, (S * W).
std::vector<int64_t> dependents_of(const Group& group) {
  std::vector<int64_t> rows;
  for (const Sentence& sentence : group.sentences)
    for (int64_t i = 0; i < group.longest; ++i) rows.push_back(sentence.first_word + std::min(i, sentence.words - 1));
  return rows;
}

// The words of a batch, and the products of its arcs, group by group.
struct Words {
  std::vector<Sentence> sentences;
  std::vector<Group> groups;
  int64_t count = 0;
  int64_t arcs = 0;

  Words(const PackedBatch& batch, const std::vector<int32_t>& positions)
      : sentences(sentences_of(batch.offsets, positions)), groups(groups_of(sentences)), count(static_cast<int64_t>(positions.size())) {
    for (const Sentence& sentence : sentences) arcs += sentence.words * (sentence.words + 1);
  }

  // Token of every row: the words', then a root a sentence.
  std::vector<int64_t> tokens(const std::vector<int32_t>& positions) const {
    std::vector<int64_t> tokens(positions.begin(), positions.end());
    for (const Sentence& sentence : sentences) tokens.push_back(sentence.first_token);
    return tokens;
  }
  int64_t root(const Sentence& sentence) const {
    const auto found = std::lower_bound(sentences.begin(), sentences.end(), sentence.first_word,
                                        [](const Sentence& one, int64_t word) { return one.first_word < word; });
    return count + (found - sentences.begin());
  }
  // Rows of the root and the words that stand at the padded places of a group, (S * (W + 1)).
  std::vector<int64_t> heads_of(const Group& group) const {
    std::vector<int64_t> rows;
    for (const Sentence& sentence : group.sentences) {
      rows.push_back(root(sentence));
      for (int64_t i = 0; i < group.longest; ++i) rows.push_back(sentence.first_word + std::min(i, sentence.words - 1));
    }
    return rows;
  }
  // Values of the padded arcs, (S, W, W + 1) a group, as those of the arcs in the order of the batch, (arcs).
  at::Tensor ragged(const PackedBatch& batch, const std::vector<at::Tensor>& padded) const {
    std::vector<int64_t> places(static_cast<size_t>(arcs));
    int64_t base = 0;
    std::vector<at::Tensor> flat;
    for (size_t g = 0; g < groups.size(); ++g) {
      const int64_t width = groups[g].longest + 1;
      for (const Sentence& sentence : groups[g].sentences) {
        for (int64_t i = 0; i < sentence.words; ++i)
          for (int64_t j = 0; j <= sentence.words; ++j) places[sentence.first_arc + i * (sentence.words + 1) + j] = base + i * width + j;
        base += groups[g].longest * width;
      }
      flat.push_back(padded[g].reshape(-1));
    }
    return at::cat(flat).index_select(0, batch.index(places));
  }
};

struct Parser {
  HeadConfig config;
  Linear arc_dependent, arc_head, arc, label_dependent, label_head, label, relation;
  std::shared_ptr<Linear> tagger;

  static Parser create(const HeadConfig& config, const HeadParts& parts) {
    const int64_t hidden = parts.encoder.config().hidden_size, layer = parts.encoder.config().layers + 1;
    const auto linear = [&](const char* name, int64_t in, int64_t out) {
      return Linear::create(parts.store, "heads." + config.name + "." + name, in, out, layer);
    };
    const int64_t arcs = config.arc_size, labels = config.label_size;
    Parser parser{config,
                  linear("arc.dependent", hidden, arcs),
                  linear("arc.head", hidden, arcs),
                  linear("arc.product", arcs, arcs),
                  linear("label.dependent", hidden, labels),
                  linear("label.head", hidden, labels),
                  linear("label.product", labels, config.classes * labels),
                  linear("label.classifier", labels, config.classes),
                  nullptr};
    if (config.tags > 0) parser.tagger = std::make_shared<Linear>(linear("tagger", hidden, config.tags));
    return parser;
  }

  at::ScalarType master() const { return arc.weight->master.scalar_type(); }

  at::Tensor layer(const HeadInput& input, const Linear& linear, const at::Tensor& x) const {
    return drop(input.pass, at::gelu(linear(input.pass, x)), config.dropout);
  }

  at::Tensor states(const HeadInput& input, const HeadLabels& labels, const Words& words) const {
    const at::Tensor states_RH = input.states(config).index_select(0, input.batch.index(words.tokens(labels.positions)));
    return drop(input.pass, states_RH, config.dropout);
  }

  // Scores of all arcs, (arcs) in the master type. states: of the words, then of the roots.
  at::Tensor arcs(const HeadInput& input, const Words& words, const at::Tensor& states_RH) const {
    const at::Tensor query_MA =
        arc(input.pass, layer(input, arc_dependent, states_RH.narrow(0, 0, words.count))).to(master());
    const at::Tensor heads_RA = layer(input, arc_head, states_RH).to(master());
    std::vector<at::Tensor> padded;
    for (const Group& group : words.groups) {
      const at::Tensor query_SWA = query_MA.index_select(0, input.batch.index(dependents_of(group))).view({group.count(), group.longest, -1});
      const at::Tensor heads_SVA = heads_RA.index_select(0, input.batch.index(words.heads_of(group))).view({group.count(), group.longest + 1, -1});
      padded.push_back(at::bmm(query_SWA, heads_SVA.transpose(1, 2)));
    }
    return words.ragged(input.batch, padded);
  }

  // Scores of the relations of some words at one head each, (N, classes).
  at::Tensor relations(const HeadInput& input, const at::Tensor& states_RH, const std::vector<int64_t>& dependents,
                       const std::vector<int64_t>& heads) const {
    const at::Tensor dependent_NB = layer(input, label_dependent, states_RH.index_select(0, input.batch.index(dependents)));
    const at::Tensor head_NB = layer(input, label_head, states_RH.index_select(0, input.batch.index(heads)));
    const at::Tensor query_NCB = label(input.pass, dependent_NB).to(master()).view({-1, config.classes, config.label_size});
    return at::bmm(query_NCB, head_NB.to(master()).unsqueeze(2)).squeeze(2) + relation(input.pass, dependent_NB).to(master());
  }

  // The best relation of every arc, (arcs) in the master type.
  at::Tensor best_relations(const HeadInput& input, const Words& words, const at::Tensor& states_RH) const {
    const at::Tensor dependent_MB = layer(input, label_dependent, states_RH.narrow(0, 0, words.count));
    const at::Tensor head_RB = layer(input, label_head, states_RH).to(master());
    const at::Tensor own_MC = relation(input.pass, dependent_MB).to(master());
    std::vector<at::Tensor> padded;
    for (const Group& group : words.groups) {
      const int64_t count = group.count(), most = group.longest;
      const at::Tensor rows = input.batch.index(dependents_of(group));
      const at::Tensor query = label(input.pass, dependent_MB.index_select(0, rows)).to(master()).view({count, most * config.classes, -1});
      const at::Tensor heads = head_RB.index_select(0, input.batch.index(words.heads_of(group))).view({count, most + 1, -1});
      const at::Tensor scores_SWCV = at::bmm(query, heads.transpose(1, 2)).view({count, most, config.classes, most + 1}) +
                                     own_MC.index_select(0, rows).view({count, most, config.classes, 1});
      padded.push_back(scores_SWCV.argmax(2).to(master()));
    }
    return words.ragged(input.batch, padded);
  }
};

// Scores of the arcs, of the labelled words' relations at their right heads and of the tagged words' tags, end to end.
at::Tensor training_scores(const Parser& parser, const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
  const Words words(input.batch, labels.positions);
  const at::Tensor states_RH = parser.states(input, labels, words);
  const std::vector<int64_t> dependents = labelled_rows(labels.labels);
  std::vector<int64_t> heads;
  targets.clear();
  auto sentence = words.sentences.begin();
  for (const int64_t word : dependents) {
    while (word >= sentence->first_word + sentence->words) ++sentence;
    heads.push_back(labels.heads[word] == 0 ? words.root(*sentence) : sentence->first_word + labels.heads[word] - 1);
    targets.push_back(labels.labels[word]);
  }
  std::vector<at::Tensor> scores{parser.arcs(input, words, states_RH), parser.relations(input, states_RH, dependents, heads).reshape(-1)};
  if (const auto tagged = labelled_rows(labels.tags); !tagged.empty())
    scores.push_back((*parser.tagger)(input.pass, states_RH.index_select(0, input.batch.index(tagged))).to(parser.master()).reshape(-1));
  return at::cat(scores);
}

LossSum training_loss(const HeadConfig& config, const HeadInput& input, const HeadLabels& labels, const at::Tensor& scores,
                      const std::vector<int64_t>& targets) {
  const Words words(input.batch, labels.positions);
  std::vector<Segment> segments;
  for (const Sentence& sentence : words.sentences) {
    for (int64_t word = sentence.first_word; word < sentence.first_word + sentence.words; ++word) {
      if (labels.labels[word] == kNoLabel) continue;
      const int64_t first = sentence.arc(word);
      segments.push_back({first, first + sentence.words + 1, first + labels.heads[word]});
    }
  }
  const auto count = static_cast<int64_t>(targets.size());
  at::Tensor sum = segment_cross_entropy_sum(input.batch, scores.narrow(0, 0, words.arcs), segments);
  const at::Tensor relations_NC = scores.narrow(0, words.arcs, count * config.classes).view({count, config.classes});
  sum = sum + at::cross_entropy_loss(relations_NC, input.batch.index(targets), {}, at::Reduction::Sum);
  if (const auto tagged = labelled_rows(labels.tags); !tagged.empty()) {
    std::vector<int64_t> tags;
    for (const int64_t word : tagged) tags.push_back(labels.tags[word]);
    const at::Tensor tags_NT = scores.narrow(0, words.arcs + count * config.classes, static_cast<int64_t>(tags.size()) * config.tags);
    sum = sum + at::cross_entropy_loss(tags_NT.view({-1, config.tags}), input.batch.index(tags), {}, at::Reduction::Sum);
  }
  return {sum, count};
}

// Score and best relation of every arc, (arcs, 2); with tags, a row for every word follows: log-probability of its best tag, and the tag.
at::Tensor answers(const Parser& parser, const HeadInput& input, const HeadLabels& labels) {
  const Words words(input.batch, labels.positions);
  if (words.count == 0) return at::empty({0, 2}, parser.arc.weight->master.options());
  const at::Tensor states_RH = parser.states(input, labels, words);
  const at::Tensor arcs = at::stack({parser.arcs(input, words, states_RH), parser.best_relations(input, words, states_RH)}, 1);
  if (!parser.tagger) return arcs;
  const at::Tensor tags_MT = (*parser.tagger)(input.pass, states_RH.narrow(0, 0, words.count)).to(parser.master());
  const auto [score, tag] = at::log_softmax(tags_MT, 1).max(1);
  return at::cat({arcs, at::stack({score, tag.to(parser.master())}, 1)});
}

}  // namespace

HeadRef make_parser(const HeadConfig& config, const HeadParts& parts) {
  check_classes(config);
  const std::pair<const char*, int64_t> sizes[] = {{"arcSize", config.arc_size}, {"labelSize", config.label_size}};
  for (const auto& [field, size] : sizes)
    if (size < 1) fail("BAD_ARGUMENT", field, " of head '", config.name, "' is ", size, "; at least 1 was expected");
  if (config.tags < 0) fail("BAD_ARGUMENT", "tags of head '", config.name, "' is ", config.tags, "; 0 (none) or a number of tags was expected");
  const auto parser = std::make_shared<Parser>(Parser::create(config, parts));
  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = config.layer;
  head->chooses_class = false;
  head->returns_scores = true;
  head->check = [config](const HostBatch& batch, const HeadLabels& labels) {
    check_words(config, batch, labels);
    check_class_labels(config, labels.labels, labels.positions.size(), "position", static_cast<int32_t>(config.classes));
    check_heads(config, batch, labels);
    check_tags(config, labels);
    return count_labels(labels.labels);
  };
  head->logits = [parser](const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
    return training_scores(*parser, input, labels, targets);
  };
  head->loss_of = [config](const HeadInput& input, const HeadLabels& labels, const at::Tensor& scores, const std::vector<int64_t>& targets) {
    return training_loss(config, input, labels, scores, targets);
  };
  head->answers = [parser](const HeadInput& input, const HeadLabels& labels) { return answers(*parser, input, labels); };
  return head;
}

}  // namespace strata
