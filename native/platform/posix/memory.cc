#include "platform/memory.h"

#include <cstdlib>

namespace strata::platform {

void* allocate_aligned(size_t alignment, size_t bytes) { return std::aligned_alloc(alignment, bytes); }
void free_aligned(void* data) { std::free(data); }

}  // namespace strata::platform
