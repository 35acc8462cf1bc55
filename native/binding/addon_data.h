#pragma once
// What the handles share: counts of what is alive, and the report of native memory to the collector.
#include <napi.h>

#include <atomic>
#include <cstdint>

namespace strata::binding {

// Live handles and their bytes, over all environments of the process.
struct Counters {
  std::atomic<int64_t> models{0};
  std::atomic<int64_t> optimizers{0};
  std::atomic<int64_t> probes{0};
  std::atomic<int64_t> bytes{0};
};
Counters& counters();

// Tells the collector of native memory; pair each plus with a minus.
inline void adjust_memory(Napi::Env env, int64_t bytes) {
  counters().bytes += bytes;
  Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
}

}  // namespace strata::binding
