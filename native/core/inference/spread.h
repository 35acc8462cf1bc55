#pragma once
// When work is shared among threads. Waking the others costs some microseconds, which a few tokens do not pay back.
#include "core/parallel.h"

#include <cstdint>

namespace strata {

// In multiply-adds of float, or four of them in 8 bits: about 20 µs of one core. An estimate, not measured.
constexpr int64_t kWorthSharing = 2'000'000;

// Calls body(begin, end) over 0 … items, on this thread alone when it is too little work for more.
template <typename Body>
void spread(int64_t items, int64_t work, const Body& body) {
  if (items <= 0) return;
  if (items == 1 || work < kWorthSharing) return body(int64_t{0}, items);
  parallel_for(items, 1, body);
}

}  // namespace strata
