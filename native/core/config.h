#pragma once
// Shapes and switches of a model; lib/model/config.ts documents the fields.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace strata {

struct EncoderConfig {
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

struct HeadConfig {
  std::string name;
  std::string kind;
  int64_t layer = 0;
  double weight = 1;
  std::optional<TransferConfig> transfer;  // masked-lm
  std::string level;                       // bigram-shift: sentence | token
  std::string read;                        // bigram-shift: mean | cls
};

struct ModelConfig {
  EncoderConfig encoder;
  std::vector<HeadConfig> heads;
};

}  // namespace strata
