#pragma once
#include <cstddef>

namespace strata::platform {

// `bytes` is a multiple of `alignment`. Null when there is no memory. To be given back to free_aligned alone.
void* allocate_aligned(size_t alignment, size_t bytes);
void free_aligned(void* data);
// Whether the system refuses this process memory above a limit of its own (`ulimit -v`, `ulimit -d`).
bool has_memory_limit();

}  // namespace strata::platform
