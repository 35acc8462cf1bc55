#pragma once
#include <cstddef>

namespace strata::platform {

// `bytes` is a multiple of `alignment`. Null when there is no memory. To be given back to free_aligned alone.
void* allocate_aligned(size_t alignment, size_t bytes);
void free_aligned(void* data);

}  // namespace strata::platform
