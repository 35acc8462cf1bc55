#include "core/kernels/inference_kernels.h"

#include "platform/processor.h"

#include <cmath>
#include <numbers>

namespace strata::kernels {
namespace {

// The cubic through the four Chebyshev nodes of each piece, as powers of u in [0, 1].
GeluTable make_table() {
  GeluTable table;
  for (int piece = 0; piece < 32; ++piece) {
    double nodes[4], values[4];
    for (int k = 0; k < 4; ++k) {
      nodes[k] = 0.5 + 0.5 * std::cos((2 * k + 1) * std::numbers::pi / 8);
      values[k] = 0.5 * std::erf((piece + nodes[k]) * kGeluReach / 32 / std::numbers::sqrt2);
    }
    // Newton's divided differences, then expanded.
    double d[4] = {values[0], values[1], values[2], values[3]};
    for (int order = 1; order < 4; ++order)
      for (int k = 3; k >= order; --k) d[k] = (d[k] - d[k - 1]) / (nodes[k] - nodes[k - order]);
    double powers[4] = {d[3], 0, 0, 0};
    for (int k = 2; k >= 0; --k) {
      for (int power = 3; power > 0; --power) powers[power] = powers[power - 1] - nodes[k] * powers[power];
      powers[0] = d[k] - nodes[k] * powers[0];
    }
    for (int power = 0; power < 4; ++power) table.coefficients[power][piece] = static_cast<float>(powers[power]);
  }
  return table;
}

}  // namespace

const GeluTable& gelu_table() {
  static const GeluTable table = make_table();
  return table;
}

bool has_avx512() {
  static const bool found = platform::has_avx512();
  return found;
}

bool has_avx512_vnni() {
  static const bool found = platform::has_avx512_vnni();
  return found;
}

bool has_avx512_bf16() {
  static const bool found = platform::has_avx512_bf16();
  return found;
}

}  // namespace strata::kernels
