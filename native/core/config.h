#pragma once
// Shapes and switches of a model; lib/model/config.ts documents the fields.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace strata {

struct EncoderConfig {
  std::string kind = "bert";  // bert | crammed
  int64_t vocab_size = 0;
  int64_t layers = 0;
  int64_t hidden_size = 0;
  int64_t heads = 0;
  int64_t intermediate_size = 0;
  int64_t max_positions = 0;
  int64_t segment_types = 0;
  double layer_norm_epsilon = 1e-12;
  double hidden_dropout = 0;
  double attention_dropout = 0;
  std::string activation = "gelu";
  double initializer_range = 0.02;
};

struct TransferConfig {
  std::string from;
  std::string mode;  // concat | add | label
  bool stop_gradient = false;
};

// A learned sum of layers (BERMo, arXiv 2110.15802).
struct MixConfig {
  std::string name;
  bool include_embeddings = false;
  bool layer_norm = false;
  std::string init = "uniform";  // uniform | last
};

// A task's own modules inside the blocks; a number of 0 means the kind's default.
struct AdapterConfig {
  std::string name;
  std::string kind;
  int64_t size = 0;
  int64_t heads = 0;
  int64_t blocks = 0;        // top-attention
  bool output_gelu = true;   // pal
  double alpha = 0;          // lora
  double dropout = 0;        // lora
  std::vector<std::string> targets;  // lora
  bool layer_norms = false;          // LayerNorms of its own in place of the encoder's
};

struct HeadConfig {
  std::string name;
  std::string kind;
  int64_t layer = 0;  // with a mix: the top layer
  std::string mix;    // name of a mix that is read instead of a layer
  double weight = 1;
  bool transform = true;                   // masked-lm
  std::optional<TransferConfig> transfer;  // masked-lm
  std::string level;                       // bigram-shift: sentence | token
  std::string read;                        // next-sentence, bigram-shift: mean | cls; empty = the kind's usual one
  int64_t classes = 0;                     // classifier, san, tagger; relations of a parser
  double dropout = 0;                      // of a task's own head
  std::string pooler = "own";              // classifier, regressor, ranker: own | shared | none
  int64_t pooler_size = 0;                 // of an own pooler; 0 = the encoder's width
  int64_t steps = 0;                       // san
  double prediction_dropout = 0;           // san
  int64_t tags = 0;                        // parser: parts of speech; 0 = none
  int64_t arc_size = 0;                    // parser
  int64_t label_size = 0;                  // parser
  std::string relation;                    // agreement
};

// Submodels of dependency agreements (DACBERT, arXiv 2311.04799).
struct AgreementConfig {
  std::vector<std::string> relations;
  int64_t size = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t intermediate_size = 0;
  double gate_init = 0;
  std::vector<std::string> off;  // relations that the encoder does not get
  bool fixed_gates = false;
  bool train = false;  // the encoder's heads train the submodels as well
};

struct ModelConfig {
  EncoderConfig encoder;
  std::vector<HeadConfig> heads;
  std::optional<AgreementConfig> agreements;
  std::vector<MixConfig> mixes;
  std::vector<AdapterConfig> adapters;
  std::string pruning;  // method that masks the blocks' linear weights; empty: none
};

}  // namespace strata
