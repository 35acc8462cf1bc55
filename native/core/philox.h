#pragma once
// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a counter-based generator, so that any
// draw can be made again from (key, counter) alone. Used for initial weights and dropout.
#include <array>
#include <cstdint>
#include <string_view>

namespace strata {

struct PhiloxKey {
  uint32_t low = 0;
  uint32_t high = 0;
};

inline std::array<uint32_t, 4> philox4x32(PhiloxKey key, uint64_t counter_low, uint64_t counter_high = 0) {
  uint32_t c0 = static_cast<uint32_t>(counter_low), c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high), c3 = static_cast<uint32_t>(counter_high >> 32);
  uint32_t k0 = key.low, k1 = key.high;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

// Mixes a seed and up to two numbers into a key (splitmix64 finaliser).
inline PhiloxKey philox_key(uint64_t seed, uint64_t a = 0, uint64_t b = 0) {
  auto mix = [](uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  };
  const uint64_t key = mix(mix(mix(seed + 0x9E3779B97F4A7C15ull) + a) + b);
  return {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
}

// FNV-1a: a stable number for a name.
inline uint64_t name_hash(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
  return hash;
}

}  // namespace strata
