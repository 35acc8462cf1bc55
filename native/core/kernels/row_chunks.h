#pragma once
// Rows cut for threads: a fixed cut, so that sums over rows do not depend on the number of threads.
#include "core/parallel.h"

#include <algorithm>
#include <cstdint>

namespace strata {

constexpr int64_t kChunks = 16;

// Calls body(chunk, first row, end row) in parallel.
template <typename Body>
void each_chunk(int64_t rows, const Body& body) {
  const int64_t per_chunk = (rows + kChunks - 1) / kChunks;
  parallel_for(kChunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk)
      body(chunk, std::min(rows, chunk * per_chunk), std::min(rows, (chunk + 1) * per_chunk));
  });
}

}  // namespace strata
